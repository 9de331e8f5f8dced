import gc
import weakref

import pytest
import torch

from bmenet.config import DiffusionConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.sampling import sample_latent, start_latent
from bmenet.diffusion.solvers import SOLVERS

SCHEDULE = NoiseSchedule(DiffusionConfig(timesteps=1000, beta_start=0.0015, beta_end=0.0205))
TARGET = torch.linspace(-1, 1, 3 * 4**3).view(1, 3, 4, 4, 4)


def perfect(z, timestep):
    """What networks would predict that know the clean latent; a tensor of its own each time."""
    return TARGET.clone()


def _sample(predict, steps=10, constrain=lambda z, t: z, start=500, solver="dpmsolver++", progress=None):
    noise = torch.randn(TARGET.shape, generator=torch.Generator().manual_seed(0))
    timesteps = SCHEDULE.descend(start, steps)
    return sample_latent(predict, constrain, SOLVERS[solver](SCHEDULE), noise, timesteps, progress)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_perfect_denoiser_gives_the_clean_latent(solver):
    torch.testing.assert_close(_sample(perfect, solver=solver), TARGET, atol=1e-4, rtol=0)


def test_constraint_acts_on_every_prediction():
    seen = []

    def constrain(z_0, t):
        seen.append(t)
        return z_0 + 1

    told = []
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


def test_start_from_the_reference_is_the_reference_with_noise():
    noisy, first = start_latent(SCHEDULE, TARGET, 100, torch.Generator().manual_seed(3))
    assert first == 100
    signal = SCHEDULE.signal_power(100) ** 0.5
    assert float((noisy - signal * TARGET).std()) == pytest.approx((1 - signal**2) ** 0.5, rel=0.15)


def test_start_from_noise_does_not_know_the_reference():
    one, first = start_latent(SCHEDULE, TARGET, None, torch.Generator().manual_seed(3))
    other, _ = start_latent(SCHEDULE, -TARGET, None, torch.Generator().manual_seed(3))
    assert first == 999
    torch.testing.assert_close(one, other)
    different, _ = start_latent(SCHEDULE, TARGET, None, torch.Generator().manual_seed(4))
    assert not torch.equal(one, different)
