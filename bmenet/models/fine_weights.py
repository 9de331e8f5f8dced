"""The networks of the second stage on disk: `KINDS` says how each is built from its spec."""

import json
from collections.abc import Callable
from pathlib import Path

from torch import nn

from bmenet.config import AutoencoderConfig, PriorConfig
from bmenet.models.autoencoder import LatentAutoencoder
from bmenet.models.control import HintControl
from bmenet.models.covariate_encoder import CovariateEncoder
from bmenet.models.denoiser import Denoiser
from bmenet.models.weights import Spec, load_weights


def _autoencoder(spec: Spec) -> LatentAutoencoder:
    config = AutoencoderConfig.model_validate_json(json.dumps(spec["config"]))
    return LatentAutoencoder(config, spec["scale_factor"])


def _denoiser(spec: Spec) -> Denoiser:
    return Denoiser(PriorConfig.model_validate_json(json.dumps(spec["config"])), spec["latent_channels"])


def _control(spec: Spec) -> HintControl:
    config = PriorConfig.model_validate_json(json.dumps(spec["config"]))
    return HintControl(config, spec["latent_channels"])


def _covariate_encoder(spec: Spec) -> CovariateEncoder:
    return CovariateEncoder(spec["reduction"])


KINDS: dict[str, Callable[[Spec], nn.Module]] = {
    "autoencoder": _autoencoder,
    "edge_autoencoder": _autoencoder,
    "prior": _denoiser,
    "covariates": _covariate_encoder,
    "fine": _control,
}
"""Name to builder; the name is also that of the stage (``train_<name>``) and of the weights folder."""


def load_fine(folder: Path | str, kind: str) -> tuple[nn.Module, Spec]:
    """Load a network of the second stage: see `load_weights`."""
    return load_weights(folder, kind, KINDS[kind])
