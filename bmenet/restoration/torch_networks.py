"""The second stage's networks as torch runs them: volumes to latents and back, noise, and the constraint's gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bmenet.diffusion.guidance import ncc_gradient
from bmenet.losses.edge import gradient_magnitude
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.compute import autocast, fastest_dtype, lay_channels_last
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import AUTOENCODER, CONTROL, COVARIATES, DENOISER, EDGE_AUTOENCODER, KINDS, load_fine
from bmenet.networks.weights import Spec, require_parents
from bmenet.runtime.errors import WeightsError

EDGE_GAIN = 4.0
"""Brings edge maps to about the range of intensities: the gradient at the border of a brain is near 0.25 a voxel."""


def edge_map(volume: Tensor) -> Tensor:
    """Return ``4 G(x)``, the magnitude of the 3D gradient, of volumes of shape (B, 1, X, Y, Z)."""
    return EDGE_GAIN * gradient_magnitude(volume, 3)


@torch.no_grad()
def encode_volume(
    autoencoder: LatentAutoencoder, volume: Tensor, autocast_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return E(x), float32, shape (B, C, X/d, Y/d, Z/d)."""
    with autocast(volume.device, autocast_dtype):
        return autoencoder.encode(volume.contiguous(memory_format=torch.channels_last_3d)).float()


@torch.no_grad()
def decode_volume(
    autoencoder: LatentAutoencoder, latent: Tensor, autocast_dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return D(z), float32, shape (B, 1, X, Y, Z)."""
    return decode_with_gradient(autoencoder, latent, autocast_dtype)


def decode_with_gradient(autoencoder: LatentAutoencoder, latent: Tensor, autocast_dtype: torch.dtype) -> Tensor:
    """Return D(z) so that a gradient can flow back to z."""
    with autocast(latent.device, autocast_dtype):
        return autoencoder.decode(latent.contiguous(memory_format=torch.channels_last_3d)).float()


@dataclass(frozen=True)
class TorchNetworks:
    """The networks, and the number format that they compute in: by default the fastest of the device."""

    autoencoder: LatentAutoencoder
    edge_autoencoder: LatentAutoencoder
    covariate_encoder: CovariateEncoder
    denoiser: Denoiser
    control: HintControl
    dtype: torch.dtype | None = None

    @classmethod
    def of(cls, networks: Mapping[str, Any], dtype: torch.dtype | None = None) -> "TorchNetworks":
        """Put the networks of `KINDS` together."""
        autoencoders = networks[AUTOENCODER], networks[EDGE_AUTOENCODER]
        return cls(*autoencoders, networks[COVARIATES], networks[DENOISER], networks[CONTROL], dtype)

    @property
    def device(self) -> torch.device:
        """Where the denoiser is, and all else."""
        return next(self.denoiser.parameters()).device

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""
        return encode_volume(self.autoencoder, volume, self._dtype)

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""
        return encode_volume(self.edge_autoencoder, edges, self._dtype)

    @torch.no_grad()
    def covariates(self, volume: Tensor) -> Tensor:
        """Return c, in float32: sums over a whole volume."""
        return self.covariate_encoder.encode(volume)

    @torch.no_grad()
    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h``, and ``epsilon`` where the control was trained to be anchored at the reference."""
        with autocast(self.device, self._dtype):
            control = self.control(noisy_latent, timestep, covariates, hint)
            steered = self.denoiser(noisy_latent, timestep, covariates, control).float()
            if self.control.reference_variance is None:
                return steered, None
            return steered, self.denoiser(noisy_latent, timestep, covariates).float()

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z)."""
        return decode_volume(self.autoencoder, latent, self._dtype)

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``."""

        def compose(z: Tensor) -> Tensor:
            return base + gain * decode_with_gradient(self.autoencoder, z, self._dtype)

        return ncc_gradient(latent, compose, reference, window)

    @property
    def _dtype(self) -> torch.dtype:
        return self.dtype or fastest_dtype(self.device)


def load_networks(
    weights: Path | str, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[TorchNetworks, dict[str, Spec]]:
    """Load the networks from their folders in `weights`, and their specs.

    Raises
    ------
    WeightsError
        If a network is missing or damaged, or two of them do not belong together: every one was trained with the
        others that are here, on one grid.
    """
    weights = Path(weights)
    loaded = {kind: load_fine(weights / kind, kind) for kind in KINDS}
    specs = {kind: spec for kind, (_, spec) in loaded.items()}
    for kind, spec in specs.items():
        require_parents(weights / kind, spec, f"train_{CONTROL}")
    spacings = {kind: spec["spacing_mm"] for kind, spec in specs.items()}
    if len(set(spacings.values())) > 1:
        raise WeightsError(f"{weights}: expected networks of one grid; got spacings in mm {spacings}; train them again")
    networks = {
        kind: lay_channels_last(network.to(device)).requires_grad_(False) for kind, (network, _) in loaded.items()
    }
    return TorchNetworks.of(networks, dtype), specs
