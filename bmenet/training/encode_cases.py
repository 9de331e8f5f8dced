"""What the ControlNet is trained on, encoded once: latent and hint of every case."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from bmenet.losses.denoising import edge_weights
from bmenet.networks.covariate_encoder import CovariateEncoder, covariate_encoder_from_spec
from bmenet.networks.weights import load_weights
from bmenet.restoration.latent import edge_map
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256
from bmenet.training.encode import Latents, as_batch, collect, encode, load_autoencoder
from bmenet.training.engine.setting import Setting
from bmenet.training.fine_cases import load_pair
from bmenet.training.latent_store import LatentStore

_AUTOENCODERS = ("autoencoder", "edge_autoencoder")


class CoarseCase(NamedTuple):
    """A coarse result: whose, of which code, and whether left and right are exchanged."""

    subject: str
    code: str
    is_mirrored: bool = False

    def __str__(self) -> str:
        return f"{self.subject}_code-{self.code}{'_mirrored' if self.is_mirrored else ''}"


def case_latents(setting: Setting, cases: Iterable[CoarseCase]) -> dict[CoarseCase, Latents]:
    """Return the latents of cases: they depend on the autoencoders alone.

    ``latent`` E(x), shape (C, x, y, z); ``hint`` [E(r), E_edge(4 G(r))], shape (2 C, x, y, z); ``edges``, the weight of
    the loss, shape (1, x, y, z), for an edge weight of 1.
    """
    image_autoencoder, edge_autoencoder = (load_autoencoder(setting, kind) for kind in _AUTOENCODERS)

    def make(case: CoarseCase) -> Latents:
        pair = load_pair(setting.layout, case.subject, case.code)
        coarse, clean = (as_batch(volume.data[::-1] if case.is_mirrored else volume.data) for volume in pair)
        return {
            "latent": encode(image_autoencoder, clean),
            "hint": torch.cat([encode(image_autoencoder, coarse), encode(edge_autoencoder, edge_map(coarse))]),
            "edges": edge_weights(clean, setting.config.autoencoder.downsampling, 1.0)[0],
        }

    digests = [setting.weights_digest(kind) for kind in _AUTOENCODERS]
    jobs = {case: (str(case), [*_volume_digests(setting, case), *digests, code_hash(__name__)], make) for case in cases}
    return collect("encode cases", LatentStore(setting.layout.latents), jobs)


def case_covariates(setting: Setting, cases: Iterable[CoarseCase]) -> dict[CoarseCase, dict[str, Tensor]]:
    """Return ``covariates``, shape (4,), of cases, as the encoder sees them in r."""
    folder = setting.layout.weights("covariates")
    encoder = cast(CovariateEncoder, load_weights(folder, "covariates", covariate_encoder_from_spec)[0])

    def make(case: CoarseCase) -> Latents:
        coarse, _ = load_pair(setting.layout, case.subject, case.code)
        with torch.no_grad():
            return {"covariates": encoder.encode(as_batch(coarse.data[::-1] if case.is_mirrored else coarse.data))[0]}

    digest = setting.weights_digest("covariates")
    method = code_hash(__name__)
    jobs = {case: (f"{case}_covariates", [*_volume_digests(setting, case), digest, method], make) for case in cases}
    return collect("read covariates", LatentStore(setting.layout.latents), jobs)


def _volume_digests(setting: Setting, case: CoarseCase) -> list[str]:
    """Return the SHA-256 of the coarse and of the clean volume of a case."""
    return [sha256(setting.layout.coarse(case.subject, case.code)), sha256(setting.layout.clean(case.subject))]
