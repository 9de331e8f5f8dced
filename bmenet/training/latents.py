"""Latents of clean volumes and of cases, encoded once; an index beside them says what each was made from."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bmenet.data.layout import Layout
from bmenet.losses.denoising import edge_weights
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.compute import fastest_dtype, lay_channels_last
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.fine_weights import AUTOENCODER, COVARIATES, EDGE_AUTOENCODER, load_fine
from bmenet.networks.weights import weights_digest
from bmenet.restoration.torch_networks import decode_volume, edge_map, encode_volume
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import atomic_path, sha256
from bmenet.runtime.progress import progress_bar
from bmenet.training.subjects import load_clean, load_pair

Latents = dict[str, Tensor]
Item = TypeVar("Item", bound=Hashable)

_PROBE_STD = 0.1
"""Of the noise that probes a channel, in standard deviations of the latent."""


class CoarseCase(NamedTuple):
    """A coarse result: whose, of which code, and whether left and right are exchanged."""

    subject: str
    code: str
    is_mirrored: bool = False

    def __str__(self) -> str:
        return f"{self.subject}_code-{self.code}{'_mirrored' if self.is_mirrored else ''}"

    def load(self, layout: Layout) -> tuple[Tensor, Tensor]:
        """Return r and x, each of shape (1, 1, X, Y, Z)."""
        coarse, clean = (volume.data for volume in load_pair(layout, self.subject, self.code))
        if self.is_mirrored:
            coarse, clean = coarse[::-1], clean[::-1]
        return as_batch(coarse), as_batch(clean)

    def digests(self, layout: Layout) -> list[str]:
        """Return the SHA-256 of its coarse and of its clean volume."""
        return [sha256(layout.coarse(self.subject, self.code)), sha256(layout.clean(self.subject))]


def clean_latents(layout: Layout, subjects: Iterable[str]) -> dict[str, Latents]:
    """Return, for each subject, ``latent`` and ``mirrored``, E(x) of the clean volume and of its mirror image.

    Each has the shape (C, x, y, z).
    """
    autoencoder = load_autoencoder(layout)

    def encode(subject: str) -> Latents:
        clean = load_clean(layout, subject).data
        volumes = {"latent": clean, "mirrored": clean[::-1]}
        return {name: _encode(autoencoder, as_batch(volume)) for name, volume in volumes.items()}

    volumes = {subject: [sha256(layout.clean(subject))] for subject in subjects}
    return _kept("clean", layout, [AUTOENCODER], volumes, encode)


def case_latents(layout: Layout, cases: Iterable[CoarseCase], downsampling: int) -> dict[CoarseCase, Latents]:
    """Return the latents of cases: they depend on the autoencoders alone.

    ``latent`` E(x), shape (C, x, y, z); ``hint`` [E(r), E_edge(4 G(r))], shape (2 C, x, y, z); ``edges``, the weight of
    the loss, shape (1, x, y, z), for an edge weight of 1. `downsampling`: voxels along the edge of a latent voxel.
    """
    image_autoencoder, edge_autoencoder = (load_autoencoder(layout, kind) for kind in (AUTOENCODER, EDGE_AUTOENCODER))

    def encode(case: CoarseCase) -> Latents:
        coarse, clean = case.load(layout)
        return {
            "latent": _encode(image_autoencoder, clean),
            "hint": torch.cat([_encode(image_autoencoder, coarse), _encode(edge_autoencoder, edge_map(coarse))]),
            "edges": edge_weights(clean, downsampling, 1.0)[0],
        }

    volumes = {case: case.digests(layout) for case in cases}
    return _kept("case", layout, [AUTOENCODER, EDGE_AUTOENCODER], volumes, encode)


def case_covariates(layout: Layout, cases: Iterable[CoarseCase]) -> dict[CoarseCase, Latents]:
    """Return ``covariates``, shape (4,), of cases, as the encoder sees them in r."""
    encoder = cast(CovariateEncoder, load_fine(layout.weights(COVARIATES), COVARIATES)[0])

    def encode(case: CoarseCase) -> Latents:
        with torch.no_grad():
            return {"covariates": encoder.encode(case.load(layout)[0])[0]}

    volumes = {case: case.digests(layout) for case in cases}
    return _kept("covariates", layout, [COVARIATES], volumes, encode)


def load_autoencoder(layout: Layout, kind: str = AUTOENCODER) -> LatentAutoencoder:
    """Load the image or the edge autoencoder."""
    return cast(LatentAutoencoder, lay_channels_last(load_fine(layout.weights(kind), kind)[0]))


def as_batch(data: np.ndarray) -> Tensor:
    """Return a volume as a batch of one."""
    return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))[None, None]


@torch.no_grad()
def channel_sensitivity(autoencoder: LatentAutoencoder, latent: Tensor, seed: int = 0) -> list[float]:
    """Return how much each channel changes the image: the mean square change of D(z) for one of z, largest 1.

    The middle half of `latent`, E(x) of shape (C, X, Y, Z), is probed along each axis with noise, a channel at a time.
    """
    middle = tuple(slice(extent // 4, extent - extent // 4) for extent in latent.shape[1:])
    z = latent[(slice(None), *middle)][None]
    image = decode_volume(autoencoder, z)
    noise = _PROBE_STD * torch.randn(z[0, 0].shape, generator=torch.Generator().manual_seed(seed))
    changes = []
    for channel in range(z.shape[1]):
        probed = z.clone()
        probed[0, channel] += noise
        changes.append(float((decode_volume(autoencoder, probed) - image).square().mean()))
    return [change / max(changes) for change in changes]


def _encode(autoencoder: LatentAutoencoder, volume: Tensor) -> Tensor:
    """Return the latent without its batch axis."""
    return encode_volume(autoencoder, volume, fastest_dtype("cpu"))[0]


def _kept(
    what: str,
    layout: Layout,
    kinds: Sequence[str],
    volumes: Mapping[Item, list[str]],
    encode: Callable[[Item], Latents],
) -> dict[Item, Latents]:
    """Return the tensors of every item, encoded now or before by the same code and networks from the same volumes.

    `what` ends the name of an item's file; `kinds` are the networks that encode; `volumes`: item to SHA-256 of volumes.
    """
    index = CaseIndex(layout.index("latents"))
    method = [code_hash(__name__), str(fastest_dtype("cpu")), *(weights_digest(layout.weights(kind)) for kind in kinds)]
    found: dict[Item, Latents] = {}
    with progress_bar() as bar:
        shown = bar.add_task(f"encode, {what}", total=len(volumes), note="")
        for item, digests in volumes.items():
            name, key = f"{item}_{what}", join_key(digests, method)
            path = layout.latents / f"{name}.safetensors"
            if not index.holds(name, key, path):
                with atomic_path(path) as temporary:
                    save_file({entry: tensor.contiguous() for entry, tensor in encode(item).items()}, temporary)
                index.record(name, key, path)
            found[item] = load_file(path)
            bar.update(shown, advance=1, note=name)
    return found
