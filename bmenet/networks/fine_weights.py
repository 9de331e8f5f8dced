"""The networks of the second stage on disk: `KINDS` says how each is built from its spec."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from bmenet.networks.autoencoder import autoencoder_from_spec
from bmenet.networks.control import control_from_spec
from bmenet.networks.covariate_encoder import covariate_encoder_from_spec
from bmenet.networks.denoiser import denoiser_from_spec
from bmenet.networks.weights import Spec, load_weights, weights_digest

AUTOENCODER, EDGE_AUTOENCODER, COVARIATES = "autoencoder", "edge_autoencoder", "covariates"
DENOISER = "denoiser"
CONTROL = "fine"

KINDS: dict[str, Callable[[Spec], nn.Module]] = {
    AUTOENCODER: autoencoder_from_spec,
    EDGE_AUTOENCODER: autoencoder_from_spec,
    DENOISER: denoiser_from_spec,
    COVARIATES: covariate_encoder_from_spec,
    CONTROL: control_from_spec,
}
"""Name to builder; the name is also that of the stage (``train_<name>``) and of the weights folder."""


def fine_digests(weights: Path | str) -> list[str]:
    """Return the digests of all networks of the second stage: see `weights_digest`."""
    return [weights_digest(Path(weights) / kind) for kind in KINDS]


def load_fine(folder: Path | str, kind: str) -> tuple[nn.Module, Spec]:
    """Load a network of the second stage: see `load_weights`."""
    return load_weights(folder, kind, KINDS[kind])
