"""What every step of the reverse process predicts: the clean latent, from reference, denoiser and control."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bmenet.diffusion.noise_schedule import NoiseSchedule


@dataclass(frozen=True)
class CleanPrediction:
    """Predict ``z_0`` from two witnesses and what the control learnt to add.

    Of a clean latent the reference says ``E(r) = z_0 + e`` with an error of variance v, and the noisy latent
    ``z_t / sqrt(abar_t) = z_0 + sigma n``, the two errors independent. With ``w = v / (sigma^2 + v)``, the share that
    the noisy latent's word deserves,

        z_0^ = (1 - w) E(r) + w z_0(epsilon) - sigma sqrt(w) (epsilon_h - epsilon),

    where ``epsilon`` is the frozen denoiser's noise, ``epsilon_h`` that of the denoiser steered by the control, and
    ``z_0(epsilon)`` the clean latent that goes with it. ``sigma sqrt(w)`` is the deviation of what the two witnesses
    leave open, so that the control has something of the size of 1 to learn at every timestep; an untrained control
    leaves them as they are. A reference of which nothing is known (v infinite) gives the published method back,
    ``z_0^ = z_0(epsilon_h)``. After Karras et al. (2022), "Elucidating the design space of diffusion-based generative
    models", section 5, arXiv:2206.00364, who weigh the noisy image so.

    A reverse process that starts from the reference, noised, counts it twice: start where w is small.
    `reference_variance` is v of every latent channel, (C,); None: nothing is known of the reference.
    """

    schedule: NoiseSchedule
    reference_variance: Sequence[float] | None

    def __call__(
        self, steered: Tensor, noise: Tensor | None, noisy_latent: Tensor, timestep: Tensor, reference_latent: Tensor
    ) -> Tensor:
        """Return ``z_0^`` from ``epsilon_h``, ``epsilon``, ``z_t``, t (B,) and ``E(r)``, all else (B, C, X, Y, Z).

        ``epsilon`` is not asked for where nothing is known of the reference.
        """
        if self.reference_variance is None:
            return self.schedule.predict_clean(noisy_latent, steered, timestep)
        if noise is None:
            raise ValueError("`noise`: expected the denoiser's own noise, since the reference is a witness; got None")
        share = self._share(timestep, noisy_latent)
        own = self.schedule.predict_clean(noisy_latent, noise, timestep)
        return (1 - share) * reference_latent + share * own - self.spread(timestep, noisy_latent) * (steered - noise)

    def spread(self, timestep: Tensor, like: Tensor) -> Tensor:
        """Return ``sigma sqrt(w)``, of the shape (B, C, 1, 1, 1): how far off ``z_0^`` may well be before training."""
        return self.schedule.noise_level(timestep, like) * self._share(timestep, like) ** 0.5

    def _share(self, timestep: Tensor, like: Tensor) -> Tensor:
        """Return w."""
        squares = self.schedule.noise_level(timestep, like) ** 2
        if self.reference_variance is None:
            return torch.ones_like(squares)
        variance = torch.tensor(self.reference_variance, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
        return variance / (squares + variance)
