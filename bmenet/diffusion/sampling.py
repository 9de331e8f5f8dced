"""The reverse process: the algorithm of the paper's second stage."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.solvers import Solver

PredictClean = Callable[[Tensor, Tensor], Tensor]
"""``z_0(z_t, t)``: `CleanPrediction` with the networks, the hint and the covariates bound."""

Constrain = Callable[[Tensor, int], Tensor]
"""``(z_0, t)`` to the moved ``z_0``: the progressive constraint."""


@torch.no_grad()
def sample_latent(
    predict_clean: PredictClean,
    constrain: Constrain,
    solver: Solver,
    noisy_latent: Tensor,
    timesteps: list[int],
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Go from ``z_T`` to ``z_0``; memory does not depend on the number of steps.

    Parameters
    ----------
    solver : Solver
        A fresh one.
    noisy_latent : Tensor, shape (B, C, X, Y, Z)
        ``z_T``, at the first of the timesteps.
    timesteps : list of int
        Falling, the last one -1: see `NoiseSchedule.descend`.
    progress : callable, optional
        Told the fraction done after every step.

    Returns
    -------
    Tensor, shape (B, C, X, Y, Z)
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
    """Return ``z_T`` and T: pure noise at the last timestep, or ``E(r)`` noised to an intermediate one.

    Parameters
    ----------
    reference_latent : Tensor, shape (B, C, X, Y, Z)
        ``E(r)``.
    timestep : int or None
        Where to start from the reference; None starts from noise.
    generator : torch.Generator
        On the CPU, so that every device draws the same noise.
    """
    noise = torch.randn(reference_latent.shape, generator=generator).to(reference_latent)
    if timestep is None:
        return noise, schedule.timesteps - 1
    at = torch.full((len(noise),), timestep, device=noise.device)
    return schedule.add_noise(reference_latent, noise, at), timestep
