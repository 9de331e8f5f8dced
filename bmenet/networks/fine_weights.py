"""The networks of the second stage on disk: `KINDS` says how each is built from its spec."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from bmenet.config import AutoencoderConfig, DenoiserConfig
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.weights import Spec, config_of, load_weights, weights_digest

AUTOENCODER, EDGE_AUTOENCODER, COVARIATES = "autoencoder", "edge_autoencoder", "covariates"
DENOISER = "denoiser"
CONTROL = "fine"


def _autoencoder(spec: Spec) -> LatentAutoencoder:
    return LatentAutoencoder(config_of(spec, AutoencoderConfig), spec["shift"], spec["scale"])


KINDS: dict[str, Callable[[Spec], nn.Module]] = {
    AUTOENCODER: _autoencoder,
    EDGE_AUTOENCODER: _autoencoder,
    DENOISER: lambda spec: Denoiser(config_of(spec, DenoiserConfig), spec["latent_channels"]),
    COVARIATES: lambda spec: CovariateEncoder(spec["reduction"], spec["width"], spec["informed"]),
    CONTROL: lambda spec: HintControl(
        config_of(spec, DenoiserConfig), spec["latent_channels"], spec["reference_variance"]
    ),
}
"""Name to builder; the name is also that of the stage (``train_<name>``) and of the weights folder."""


def fine_digests(weights: Path | str) -> list[str]:
    """Return the digests of all networks of the second stage: see `weights_digest`."""
    return [weights_digest(Path(weights) / kind) for kind in KINDS]


def load_fine(folder: Path | str, kind: str) -> tuple[nn.Module, Spec]:
    """Load a network of the second stage: see `load_weights`."""
    return load_weights(folder, kind, KINDS[kind])
