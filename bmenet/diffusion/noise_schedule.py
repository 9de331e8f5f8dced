"""The forward process q(z_t | z_0) and what follows from it."""

import numpy as np
import torch
from torch import Tensor

from bmenet.config import DiffusionConfig


class NoiseSchedule:
    """How much signal and noise a latent holds at every timestep.

    ``z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) epsilon`` with ``abar_t = prod_{s <= t} (1 - beta_s)``; the betas are
    evenly spaced in their square root ("scaled linear"). Timestep -1 is the clean latent: ``abar_{-1} = 1``.

    References
    ----------
    Ho, Jain, Abbeel (2020). Denoising diffusion probabilistic models, eq. 4. arXiv:2006.11239
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.timesteps = config.timesteps
        betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.timesteps, dtype=np.float64) ** 2
        self._signal_power = np.cumprod(1 - betas)

    def signal_power(self, timestep: int) -> float:
        """Return ``abar_t``, in (0, 1]."""
        return float(self._signal_power[timestep]) if timestep >= 0 else 1.0

    def add_noise(self, latent: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Return ``z_t`` of latents and noise of the shape (B, C, X, Y, Z), timesteps (B,)."""
        power = self._power(timestep, latent)
        return power.sqrt() * latent + (1 - power).sqrt() * noise

    def predict_clean(self, noisy_latent: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Return ``z_0`` as a predicted noise implies it: ``(z_t - sqrt(1 - abar_t) epsilon) / sqrt(abar_t)``."""
        power = self._power(timestep, noisy_latent)
        return (noisy_latent - (1 - power).sqrt() * noise) / power.sqrt()

    def noise_level(self, timestep: Tensor, like: Tensor) -> Tensor:
        """Return ``sigma = sqrt((1 - abar_t) / abar_t)``, the noise in ``z_t / sqrt(abar_t)``.

        Its shape, (B, 1, 1, 1, 1), its device and its number format are those that go with `like`.
        """
        power = self._power(timestep, like)
        return ((1 - power) / power).sqrt()

    def _power(self, timestep: Tensor, like: Tensor) -> Tensor:
        """Return ``abar_t`` of a batch."""
        power = torch.as_tensor(self._signal_power, dtype=like.dtype, device=like.device)[timestep]
        return power.view(-1, *[1] * (like.ndim - 1))

    def descend(self, start: int, steps: int) -> list[int]:
        """Return the timesteps of a reverse process: `steps` of them from `start` down, evenly spaced, then -1.

        ValueError if `start` is no timestep of the schedule, or there are more steps than timesteps.
        """
        if not 0 <= start < self.timesteps:
            raise ValueError(
                f"`start`: expected a timestep that the denoiser was trained for, in [0, {self.timesteps}); got {start}"
            )
        if not 1 <= steps <= start + 1:
            raise ValueError(
                f"`steps`: expected 1 to {start + 1}, one for each timestep from {start} down; got {steps}"
            )
        # Like `linspace` from start to -1, whose end is the clean latent.
        return [round(start - (start + 1) * step / steps) for step in range(steps)] + [-1]
