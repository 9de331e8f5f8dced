"""Latents of clean training and validation volumes, encoded once."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from bmenet.networks.autoencoder import LatentAutoencoder, autoencoder_from_spec
from bmenet.networks.memory import lay_channels_last
from bmenet.networks.precision import fastest_dtype
from bmenet.networks.weights import load_weights
from bmenet.restoration.latent import encode_volume
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256
from bmenet.runtime.progress import progress_bar
from bmenet.training.engine.setting import Setting
from bmenet.training.fine_cases import load_clean
from bmenet.training.latent_store import LatentStore

Latents = dict[str, Tensor]
Item = TypeVar("Item", bound=Hashable)


def clean_latents(setting: Setting, subjects: Iterable[str]) -> dict[str, Latents]:
    """Return, for each subject, ``latent`` and ``mirrored``, E(x) of the clean volume and of its mirror image.

    Each has the shape (C, x, y, z).
    """
    autoencoder = load_autoencoder(setting, "autoencoder")
    digest = setting.weights_digest("autoencoder")

    def make(subject: str) -> Latents:
        clean = load_clean(setting.layout, subject).data
        return {
            "latent": encode(autoencoder, as_batch(clean)),
            "mirrored": encode(autoencoder, as_batch(clean[::-1])),
        }

    store = LatentStore(setting.layout.latents)
    jobs = {
        subject: (f"{subject}_clean", [sha256(setting.layout.clean(subject)), digest], make) for subject in subjects
    }
    return collect("encode clean volumes", store, jobs)


def load_autoencoder(setting: Setting, kind: str) -> LatentAutoencoder:
    """Load the image or the edge autoencoder."""
    network, _ = load_weights(setting.layout.weights(kind), kind, autoencoder_from_spec)
    return cast(LatentAutoencoder, lay_channels_last(network))


def collect(
    description: str, store: LatentStore, jobs: Mapping[Item, tuple[str, list[str], Callable[[Item], Latents]]]
) -> dict[Item, Latents]:
    """Get or make every entry, with a progress bar: each has a name in the store, its key, and what makes it."""
    method = [code_hash(__name__), str(fastest_dtype("cpu"))]
    found: dict[Item, Latents] = {}
    with progress_bar() as bar:
        task = bar.add_task(description, total=len(jobs), note="")
        for item, (name, key, make) in jobs.items():
            found[item] = store.get(name, [*key, *method], partial(make, item))
            bar.update(task, advance=1, note=name)
    return found


def encode(autoencoder: LatentAutoencoder, volume: Tensor) -> Tensor:
    """Return the latent without its batch axis."""
    return encode_volume(autoencoder, volume, fastest_dtype("cpu"))[0]


def as_batch(data: np.ndarray) -> Tensor:
    """Return a volume as a batch of one."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None]
