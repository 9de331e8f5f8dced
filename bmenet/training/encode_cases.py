"""What the ControlNet is trained on, encoded once: latent and hint of every case."""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch

from bmenet.files import sha256
from bmenet.fingerprint import code_fingerprint
from bmenet.inference.latent import edge_map
from bmenet.losses.denoising import edge_weights
from bmenet.models.covariate_encoder import CovariateEncoder, covariate_encoder_from_spec
from bmenet.models.weights import load_weights
from bmenet.training.encode import Latents, as_batch, collect, encode, load_autoencoder
from bmenet.training.fine_cases import load_pair
from bmenet.training.latent_store import LatentStore
from bmenet.training.setting import Setting

_AUTOENCODERS = ("autoencoder", "edge_autoencoder")
_METHOD_FILES = (*("losses/denoising.py", "losses/edge.py", "models/covariate_encoder.py", "training/encode_cases.py"),)


class Case(NamedTuple):
    """A coarse result: whose, of which code, and whether left and right are exchanged."""

    subject: str
    code: str
    is_mirrored: bool = False


def case_latents(setting: Setting, cases: Iterable[Case]) -> dict[Case, Latents]:
    """Return what the ControlNet is trained on.

    ``latent`` E(x), shape (C, x, y, z); ``hint`` [E(r), E_edge(4 G(r))], shape (2 C, x, y, z); ``edges``, the weight of
    the loss, shape (1, x, y, z), for an edge weight of 1; ``covariates``, shape (4,), as the encoder sees them in r.
    """
    image_autoencoder, edge_autoencoder = (load_autoencoder(setting, kind) for kind in _AUTOENCODERS)
    folder = setting.layout.weights("covariates")
    covariate_encoder = cast(CovariateEncoder, load_weights(folder, "covariates", covariate_encoder_from_spec)[0])
    digests = [setting.weights_digest(kind) for kind in (*_AUTOENCODERS, "covariates")]
    method = code_fingerprint(*_METHOD_FILES)

    def make(case: Case) -> Latents:
        pair = load_pair(setting.layout, case.subject, case.code)
        coarse, clean = (as_batch(volume.data[::-1] if case.is_mirrored else volume.data) for volume in pair)
        with torch.no_grad():
            covariates = covariate_encoder.encode(coarse)[0]
        hint = torch.cat([encode(image_autoencoder, coarse), encode(edge_autoencoder, edge_map(coarse))])
        return {
            "latent": encode(image_autoencoder, clean),
            "hint": hint,
            "edges": edge_weights(clean, setting.config.autoencoder.downsampling, 1.0)[0],
            "covariates": covariates,
        }

    store = LatentStore(setting.layout.latents)
    jobs = {
        case: (
            f"{case.subject}_code-{case.code}{'_mirrored' if case.is_mirrored else ''}",
            [
                sha256(setting.layout.coarse(case.subject, case.code)),
                sha256(setting.layout.clean(case.subject)),
                *digests,
                method,
            ],
            make,
        )
        for case in cases
    }
    return collect("encode cases", store, jobs)
