"""Solvers on problems whose solution is known."""

from itertools import pairwise

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler

from bmenet.config import DiffusionConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.solvers import SOLVERS

SCHEDULE = NoiseSchedule(DiffusionConfig(timesteps=1000, beta_start=0.0015, beta_end=0.0205))


def _run(solver_name, predict_clean, start, steps):
    """Integrate from z_T with a known prediction of the clean latent."""
    solver = SOLVERS[solver_name](SCHEDULE)
    z = start
    timesteps = SCHEDULE.descend(900, steps)
    for t, s in pairwise(timesteps):
        z = solver.step(z, predict_clean(z, t), t, s)
    return z


def _gaussian_error(solver_name, steps):
    """Return how far a solver ends from the exact flow.

    Data N(0, v): E[z_0 | z_t] is linear, and the flow scales z by the ratio of the standard deviations.
    """
    variance = 0.25

    def predict_clean(z, t):
        power = SCHEDULE.signal_power(t)
        return z * power**0.5 * variance / (power * variance + 1 - power)

    start = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    power = SCHEDULE.signal_power(900)
    exact = (variance / (power * variance + 1 - power)) ** 0.5
    return abs(float(_run(solver_name, predict_clean, start, steps)) - exact)


@pytest.mark.parametrize("name", SOLVERS)
def test_solver_ends_at_a_prediction_that_never_changes(name):
    target = torch.full((1, 1, 2, 2, 2), 0.7)
    start = torch.randn(1, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_run(name, lambda z, t: target, start, 7), target)


@pytest.mark.parametrize("name", SOLVERS)
def test_solver_converges_to_the_exact_flow_of_a_gaussian(name):
    errors = [_gaussian_error(name, steps) for steps in (10, 20, 80)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < errors[0] / 3


def test_dpm_solver_is_more_accurate_than_ddim_with_few_steps():
    errors = {name: _gaussian_error(name, 20) for name in SOLVERS}
    assert errors["dpmsolver++"] < 0.8 * errors["ddim"]


def test_ddim_is_monai_s():
    generator = torch.Generator().manual_seed(0)
    noisy, noise = (torch.randn(1, 3, 4, 4, 4, generator=generator) for _ in range(2))
    monai = DDIMScheduler(
        num_train_timesteps=1000, schedule="scaled_linear_beta", beta_start=0.0015, beta_end=0.0205, clip_sample=False
    )
    monai.set_timesteps(10)
    expected, _ = monai.step(noise, 500, noisy)
    ours = SOLVERS["ddim"](SCHEDULE).step(noisy, SCHEDULE.predict_clean(noisy, noise, 500), 500, 400)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
