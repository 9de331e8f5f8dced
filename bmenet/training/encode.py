"""Latents of the training and validation volumes: of clean ones for the prior, of cases for the ControlNet."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from bmenet.files import sha256
from bmenet.fingerprint import code_fingerprint
from bmenet.inference.latent import edge_map, encode_volume
from bmenet.losses.denoising import edge_weights
from bmenet.models.precision import fastest_dtype
from bmenet.progress import progress_bar
from bmenet.training.fine_cases import load_clean, load_pair
from bmenet.training.latent_store import LatentStore
from bmenet.training.setting import Setting

Latents = dict[str, Tensor]

_METHOD_FILES = (
    "inference/latent.py",
    "intensity.py",
    "losses/denoising.py",
    "losses/edge.py",
    "models/autoencoder.py",
)


def clean_latents(setting: Setting, subjects: Iterable[str]) -> dict[str, Latents]:
    """Return, for each subject, ``latent`` and ``mirrored``, E(x) of the clean volume and of its mirror image.

    Each has the shape (C, x, y, z).
    """
    autoencoder, _ = setting.load("autoencoder")
    digest = setting.weights_digest("autoencoder")

    def make(subject: str) -> Latents:
        clean = load_clean(setting.layout, subject).data
        return {
            "latent": _encode(autoencoder, _tensor(clean)),
            "mirrored": _encode(autoencoder, _tensor(clean[::-1])),
        }

    store = LatentStore(setting.layout.latents)
    jobs = {
        subject: (f"{subject}_clean", [sha256(setting.layout.clean(subject)), digest], make) for subject in subjects
    }
    return _collect("encode clean volumes", store, jobs)


def case_latents(setting: Setting, cases: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Latents]:
    """Return, for each (subject, code), what the ControlNet is trained on.

    ``latent`` E(x), shape (C, x, y, z); ``hint`` [E(r), E_edge(4 G(r))], shape (2 C, x, y, z); ``edges``, the weight of
    the loss, shape (1, x, y, z), for an edge weight of 1; ``covariates``, shape (4,), as the encoder sees them in r.
    """
    image_autoencoder, spec = setting.load("autoencoder")
    edge_autoencoder, _ = setting.load("edge_autoencoder")
    covariate_encoder, _ = setting.load("covariates")
    digests = [setting.weights_digest(kind) for kind in ("autoencoder", "edge_autoencoder", "covariates")]
    downsampling = 2 ** (len(spec["config"]["channels"]) - 1)

    def make(case: tuple[str, str]) -> Latents:
        coarse, clean = (_tensor(volume.data) for volume in load_pair(setting.layout, *case))
        with torch.no_grad():
            covariates = covariate_encoder.encode(coarse)[0]
        hint = torch.cat([_encode(image_autoencoder, coarse), _encode(edge_autoencoder, edge_map(coarse))])
        return {
            "latent": _encode(image_autoencoder, clean),
            "hint": hint,
            "edges": edge_weights(clean, downsampling, 1.0)[0],
            "covariates": covariates,
        }

    store = LatentStore(setting.layout.latents)
    jobs = {
        case: (
            f"{case[0]}_code-{case[1]}",
            [sha256(setting.layout.coarse(*case)), sha256(setting.layout.clean(case[0])), *digests],
            make,
        )
        for case in cases
    }
    return _collect("encode cases", store, jobs)


def _collect(description: str, store: LatentStore, jobs: dict[str, tuple[str, list[str], Callable]] | dict) -> dict:
    """Get or make every entry, with a progress bar."""
    method = code_fingerprint(*_METHOD_FILES)
    found = {}
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(jobs), note="")
        for item, (name, key, make) in jobs.items():
            found[item] = store.get(name, [*key, method], lambda make=make, item=item: make(item))
            bar.update(task, advance=1, note=name)
    return found


def _encode(autoencoder: nn.Module, volume: Tensor) -> Tensor:
    """Return the latent without its batch axis."""
    return encode_volume(autoencoder, volume, fastest_dtype("cpu"))[0]


def _tensor(data: np.ndarray) -> Tensor:
    """Return a volume as a batch of one."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None]
