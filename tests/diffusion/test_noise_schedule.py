import pytest
import torch
from monai.networks.schedulers import DDPMScheduler

from bmenet.config import DiffusionConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule


@pytest.fixture
def schedule() -> NoiseSchedule:
    return NoiseSchedule(DiffusionConfig(timesteps=1000, beta_start=0.0015, beta_end=0.0205))


def test_signal_power_is_that_of_monai_with_brainldm_s_betas(schedule):
    # BrainLDM was trained with MONAI's scheduler: "scaled_linear_beta", 0.0015 to 0.0205, 1000 steps.
    monai = DDPMScheduler(
        num_train_timesteps=1000, schedule="scaled_linear_beta", beta_start=0.0015, beta_end=0.0205, clip_sample=False
    )
    assert schedule.signal_power(-1) == 1, "before the first is the clean latent"
    for timestep in (0, 1, 250, 500, 999):
        assert schedule.signal_power(timestep) == pytest.approx(float(monai.alphas_cumprod[timestep]), rel=1e-4)


def test_add_noise_keeps_the_variance_of_a_unit_latent_and_predict_clean_inverts_it(schedule):
    generator = torch.Generator().manual_seed(0)
    latent, noise = (torch.randn(4, 3, 16, 16, 16, generator=generator) for _ in range(2))
    timestep = torch.tensor([0, 200, 600, 999])
    noisy = schedule.add_noise(latent, noise, timestep)
    torch.testing.assert_close(noisy.var(dim=(1, 2, 3, 4)), torch.ones(4), atol=0.05, rtol=0)
    assert float((noisy[0] - latent[0]).abs().mean()) < 0.05
    assert float((noisy[3] - noise[3]).abs().mean()) < 0.05
    torch.testing.assert_close(schedule.predict_clean(noisy, noise, timestep), latent, atol=1e-3, rtol=0)


def test_noise_level_is_the_noise_over_the_signal(schedule):
    power = schedule.signal_power(700)
    level = schedule.noise_level(torch.tensor([700, 0]), torch.zeros(2, 3, 4, 4, 4))
    assert level.shape == (2, 1, 1, 1, 1)
    assert float(level[0]) == pytest.approx(((1 - power) / power) ** 0.5)


def test_descend_goes_evenly_to_the_clean_latent(schedule):
    assert schedule.descend(999, 4) == [999, 749, 499, 249, -1]
    assert schedule.descend(300, 1) == [300, -1]
    assert schedule.descend(3, 4) == [3, 2, 1, 0, -1]
    whole = schedule.descend(999, 1000)
    assert whole == list(range(999, -2, -1))


@pytest.mark.parametrize(
    ("start", "steps", "named"), [(1000, 10, "got 1000"), (5, 7, "1 to 6.*got 7"), (5, 0, "got 0")]
)
def test_descend_refuses_what_the_denoiser_does_not_know(schedule, start, steps, named):
    with pytest.raises(ValueError, match=named):
        schedule.descend(start, steps)
