"""The second stage's networks as torch runs them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bmenet.diffusion.guidance import ncc_gradient
from bmenet.networks.autocast import autocast
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import KINDS, load_fine
from bmenet.networks.memory import lay_channels_last
from bmenet.networks.precision import fastest_dtype
from bmenet.networks.weights import SPEC_FILE, Spec
from bmenet.restoration.latent import decode_volume, decode_with_gradient, encode_volume
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256


@dataclass(frozen=True)
class TorchNetworks:
    """The networks, and the number format that they compute in.

    Parameters
    ----------
    autoencoder, edge_autoencoder : LatentAutoencoder
    covariate_encoder : CovariateEncoder
    denoiser : Denoiser
    control : HintControl
    dtype : torch.dtype, optional
        By default the fastest of the device.
    """

    autoencoder: LatentAutoencoder
    edge_autoencoder: LatentAutoencoder
    covariate_encoder: CovariateEncoder
    denoiser: Denoiser
    control: HintControl
    dtype: torch.dtype | None = None

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
    """Load the networks from the folders ``autoencoder``, ``edge_autoencoder``, ... of `weights`, and their specs.

    Raises
    ------
    WeightsError
        If a network is missing or damaged, or two of them do not belong together.
    """
    networks: dict[str, nn.Module] = {}
    specs: dict[str, Spec] = {}
    for kind in KINDS:
        network, specs[kind] = load_fine(Path(weights) / kind, kind)
        networks[kind] = lay_channels_last(network.to(device)).requires_grad_(False)
    _require_family(Path(weights), specs)
    return (
        TorchNetworks(
            networks["autoencoder"],  # type: ignore[arg-type]
            networks["edge_autoencoder"],  # type: ignore[arg-type]
            networks["covariates"],  # type: ignore[arg-type]
            networks["prior"],  # type: ignore[arg-type]
            networks["fine"],  # type: ignore[arg-type]
            dtype,
        ),
        specs,
    )


def _require_family(weights: Path, specs: dict[str, Spec]) -> None:
    """Check that every network was trained with the others that are here, on one grid."""
    for kind, spec in specs.items():
        for parent, expected in spec.get("parents", {}).items():
            if (got := sha256(weights / parent / SPEC_FILE)) != expected:
                raise WeightsError(
                    f"{weights / kind}: trained with another {parent} (model.json {expected[:12]}) than the one here"
                    f" ({got[:12]}); train again (`dvc repro train_fine`) or copy weights that belong together"
                )
    spacings = {kind: spec["spacing_mm"] for kind, spec in specs.items()}
    if len(set(spacings.values())) > 1:
        raise WeightsError(f"{weights}: expected networks of one grid; got spacings in mm {spacings}; train them again")
