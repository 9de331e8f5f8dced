"""The reverse process on problems whose solution is known."""

import gc
import weakref
from itertools import pairwise

import pytest
import torch
from monai.networks.schedulers import DDIMScheduler

from bmenet.config import DiffusionConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.sampling import SOLVERS, sample_latent, start_latent

SCHEDULE = NoiseSchedule(DiffusionConfig(timesteps=1000, beta_start=0.0015, beta_end=0.0205))
TARGET = torch.linspace(-1, 1, 3 * 4**3).view(1, 3, 4, 4, 4)


def perfect(z, timestep):
    """What networks would predict that know the clean latent; a tensor of its own each time."""
    return TARGET.clone()


def _sample(predict, steps=10, constrain=lambda z, t: z, start=500, solver="dpmsolver++", progress=None):
    noise = torch.randn(TARGET.shape, generator=torch.Generator().manual_seed(0))
    timesteps = SCHEDULE.descend(start, steps)
    return sample_latent(predict, constrain, SOLVERS[solver](SCHEDULE), noise, timesteps, progress)


def _gaussian_error(solver_name, steps):
    """Return how far a solver ends from the exact flow.

    Data N(0, v): E[z_0 | z_t] is linear, and the flow scales z by the ratio of the standard deviations.
    """
    variance = 0.25
    solver, z = SOLVERS[solver_name](SCHEDULE), torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    for t, s in pairwise(SCHEDULE.descend(900, steps)):
        power = SCHEDULE.signal_power(t)
        z = solver.step(z, z * power**0.5 * variance / (power * variance + 1 - power), t, s)
    power = SCHEDULE.signal_power(900)
    return abs(float(z) - (variance / (power * variance + 1 - power)) ** 0.5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_perfect_denoiser_gives_the_clean_latent(solver):
    torch.testing.assert_close(_sample(perfect, solver=solver), TARGET, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SOLVERS)
def test_solver_converges_to_the_exact_flow_of_a_gaussian(name):
    errors = [_gaussian_error(name, steps) for steps in (10, 20, 80)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < errors[0] / 3


def test_dpm_solver_is_more_accurate_than_ddim_with_few_steps():
    assert _gaussian_error("dpmsolver++", 20) < 0.8 * _gaussian_error("ddim", 20)


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


def test_constraint_acts_on_every_prediction():
    seen, told = [], []

    def constrain(z_0, t):
        seen.append(t)
        return z_0 + 1

    result = _sample(perfect, steps=4, constrain=constrain, progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1]
    assert seen == SCHEDULE.descend(500, 4)[:-1]
    torch.testing.assert_close(result, TARGET + 1, atol=1e-4, rtol=0)


def test_memory_does_not_grow_with_the_number_of_steps():
    alive: list[weakref.ref] = []
    most = []

    def predict(z, timestep):
        clean = perfect(z, timestep)
        alive.append(weakref.ref(clean))
        gc.collect()
        most.append(sum(ref() is not None for ref in alive))
        return clean

    gc.freeze()  # what other tests left need not be looked through at every step
    try:
        _sample(predict, steps=40)
    finally:
        gc.unfreeze()
    # The one just made, and at most one that the solver remembers.
    assert max(most) <= 2


def test_start_is_the_reference_with_noise_or_noise_that_does_not_know_it():
    def start(reference, timestep, seed=3):
        return start_latent(SCHEDULE, reference, timestep, torch.Generator().manual_seed(seed))

    noisy, first = start(TARGET, 100)
    signal = SCHEDULE.signal_power(100) ** 0.5
    assert first == 100
    assert float((noisy - signal * TARGET).std()) == pytest.approx((1 - signal**2) ** 0.5, rel=0.15)
    one, first = start(TARGET, None)
    assert first == 999
    torch.testing.assert_close(one, start(-TARGET, None)[0])
    assert not torch.equal(one, start(TARGET, None, seed=4)[0])
