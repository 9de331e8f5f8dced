"""What the second stage asks of its networks, whoever runs them; the sampler knows no more than this."""

from typing import Protocol

import torch
from torch import Tensor


class FineNetworks(Protocol):
    """The networks of the second stage, frozen, on one device.

    Tensors are float32 on `device`, with a batch of one: volumes (1, 1, X, Y, Z), latents (1, C, X/d, Y/d, Z/d).
    """

    @property
    def device(self) -> torch.device:
        """Where tensors are expected, and returned."""

    def encode(self, volume: Tensor) -> Tensor:
        """Return E(x)."""

    def encode_edges(self, edges: Tensor) -> Tensor:
        """Return E_edge of an edge map."""

    def covariates(self, volume: Tensor) -> Tensor:
        """Return c, shape (1, 4)."""

    def noises(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``epsilon_h``, steered by the control, and ``epsilon`` without it where the prediction asks for it."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return D(z)."""

    def ncc_gradient(self, latent: Tensor, base: Tensor, gain: float, reference: Tensor, window: int) -> Tensor:
        """Return ``d/dz NCC(base + gain D(z), reference)``, of the shape of the latent."""
