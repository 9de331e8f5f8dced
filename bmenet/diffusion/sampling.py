"""The reverse process: the algorithm of the paper's second stage, and the solvers that make its steps.

A solver goes from timestep t to s < t, given the predicted clean latent; ``alpha = sqrt(abar)`` and
``sigma = sqrt(1 - abar)``. Timestep -1 is the clean latent itself, so the last step returns the prediction.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from bmenet.diffusion.noise_schedule import NoiseSchedule

PredictClean = Callable[[Tensor, Tensor], Tensor]
"""``z_0(z_t, t)``: `CleanPrediction` with the networks, the hint and the covariates bound."""

Constrain = Callable[[Tensor, int], Tensor]
"""``(z_0, t)`` to the moved ``z_0``: the progressive constraint."""


class Solver(Protocol):
    """A solver of the probability-flow ODE; made anew for every run, since it may remember its last step."""

    def step(self, noisy_latent: Tensor, clean_latent: Tensor, timestep: int, next_timestep: int) -> Tensor:
        """Return ``z_s``."""


@torch.no_grad()
def sample_latent(
    predict_clean: PredictClean,
    constrain: Constrain,
    solver: Solver,
    noisy_latent: Tensor,
    timesteps: list[int],
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Go from ``z_T`` to ``z_0``, both (B, C, X, Y, Z); memory does not depend on the number of steps.

    The solver is a fresh one. The timesteps fall, the last one is -1, see `NoiseSchedule.descend`, and ``z_T`` belongs
    to the first. `progress` is told the fraction done after every step.
    """
    z = noisy_latent
    for done, (t, s) in enumerate(pairwise(timesteps), start=1):
        z_0 = predict_clean(z, torch.full((len(z),), t, device=z.device))
        z_0 = constrain(z_0, t)
        z = solver.step(z, z_0, t, s)
        if progress is not None:
            progress(done / (len(timesteps) - 1))
    return z


def start_latent(
    schedule: NoiseSchedule, reference_latent: Tensor, timestep: int | None, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Return ``z_T`` and T: pure noise at the last timestep, or ``E(r)``, (B, C, X, Y, Z), noised to the given one.

    The generator is on the CPU, so that every device draws the same noise.
    """
    noise = torch.randn(reference_latent.shape, generator=generator).to(reference_latent)
    if timestep is None:
        return noise, schedule.timesteps - 1
    at = torch.full((len(noise),), timestep, device=noise.device)
    return schedule.add_noise(reference_latent, noise, at), timestep


class DDIM:
    """Denoising diffusion implicit model with eta = 0: deterministic.

    References
    ----------
    Song, Meng, Ermon (2021). Denoising diffusion implicit models, eq. 12. arXiv:2010.02502
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule

    def step(self, noisy_latent: Tensor, clean_latent: Tensor, timestep: int, next_timestep: int) -> Tensor:
        """Return ``alpha_s z_0 + sigma_s epsilon``, with the epsilon that leads from ``z_0`` to ``z_t``."""
        now, then = (self.schedule.signal_power(t) for t in (timestep, next_timestep))
        noise = (noisy_latent - now**0.5 * clean_latent) / (1 - now) ** 0.5
        return then**0.5 * clean_latent + (1 - then) ** 0.5 * noise


class DPMSolverPP:
    """DPM-Solver++ of second order, multistep: the prediction is extrapolated from the last two.

    With ``lambda = log(alpha / sigma)`` and ``h = lambda_s - lambda_t``:
    ``z_s = (sigma_s / sigma_t) z_t - alpha_s (e^-h - 1) d``, where ``d = (1 + 1/2r) z_0 - 1/2r z_0'``,
    ``z_0'`` is the prediction of the step before and ``r`` the ratio of that step's h to this one's.

    References
    ----------
    Lu et al. (2022). DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models, algorithm 2.
    arXiv:2211.01095
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule
        self._before: tuple[Tensor, float] | None = None

    def step(self, noisy_latent: Tensor, clean_latent: Tensor, timestep: int, next_timestep: int) -> Tensor:
        """Return ``z_s``; the first and the last step are of first order."""
        if next_timestep < 0:
            return clean_latent
        now, then = (self.schedule.signal_power(t) for t in (timestep, next_timestep))
        h = _half_log_snr(then) - _half_log_snr(now)
        direction = clean_latent
        if self._before is not None:
            earlier, earlier_h = self._before
            direction = clean_latent + (h / (2 * earlier_h)) * (clean_latent - earlier)
        self._before = (clean_latent, h)
        return ((1 - then) / (1 - now)) ** 0.5 * noisy_latent - then**0.5 * math.expm1(-h) * direction


SOLVERS: dict[str, type[DDIM] | type[DPMSolverPP]] = {"ddim": DDIM, "dpmsolver++": DPMSolverPP}
"""Name to solver: what `sampling.solver` can be."""


def _half_log_snr(signal_power: float) -> float:
    """Return ``lambda = log(alpha / sigma)``."""
    return 0.5 * math.log(signal_power / (1 - signal_power))
