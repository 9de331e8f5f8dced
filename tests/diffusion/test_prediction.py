"""The clean latent as reference, denoiser and control together see it."""

import pytest
import torch

from bmenet.config import DiffusionConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.prediction import CleanPrediction

SCHEDULE = NoiseSchedule(DiffusionConfig(timesteps=1000, beta_start=0.0015, beta_end=0.0205))
SHAPE = (2, 3, 8, 8, 8)
TIMESTEP = torch.tensor([40, 120])


def draw(number: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(number))


def test_nothing_known_of_the_reference_is_the_published_method():
    noisy, without, steered = draw(0), draw(1), draw(2)
    prediction = CleanPrediction(SCHEDULE, None)
    expected = SCHEDULE.predict_clean(noisy, steered, TIMESTEP)
    got = prediction(steered, without, noisy, TIMESTEP, draw(3))
    torch.testing.assert_close(got, expected)
    # As does a reference that is as good as unknown; and the loss in units of the spread is that of the noise.
    vague = CleanPrediction(SCHEDULE, [1e6] * 3)(steered, without, noisy, TIMESTEP, draw(3))
    torch.testing.assert_close(vague, expected, atol=1e-2, rtol=0)
    level = SCHEDULE.noise_level(TIMESTEP, noisy)
    torch.testing.assert_close(prediction.spread(TIMESTEP, noisy), level)


def test_a_perfect_reference_is_believed():
    reference = draw(3)
    got = CleanPrediction(SCHEDULE, [1e-10] * 3)(draw(2), draw(1), draw(0), TIMESTEP, reference)
    torch.testing.assert_close(got, reference, atol=1e-3, rtol=0)


def test_two_witnesses_together_are_nearer_the_truth_than_either():
    clean, variance = draw(4), 0.04
    reference = clean + variance**0.5 * draw(5)
    noise = draw(6)
    noisy = SCHEDULE.add_noise(clean, noise, TIMESTEP)
    # A denoiser that knows nothing: it takes all of z_t for signal.
    blind = torch.zeros(SHAPE)
    prediction = CleanPrediction(SCHEDULE, [variance] * 3)
    got = prediction(blind, blind, noisy, TIMESTEP, reference)
    error = (got - clean).square().mean(dim=(1, 2, 3, 4))
    by_noise = SCHEDULE.noise_level(TIMESTEP, clean).flatten() ** 2
    assert (error < 0.9 * torch.minimum(by_noise, torch.tensor(variance))).all()
    # What is left is as large as `spread` says, so that a control learns something of the size of 1.
    spread = prediction.spread(TIMESTEP, clean)[:, 0].flatten() ** 2
    torch.testing.assert_close(error, spread, rtol=0.1, atol=0)


def test_the_control_corrects_by_the_spread():
    noisy, without, steered, reference = draw(0), draw(1), draw(2), draw(3)
    prediction = CleanPrediction(SCHEDULE, [0.04, 0.4, 0.004])
    untrained = prediction(without, without, noisy, TIMESTEP, reference)
    corrected = prediction(steered, without, noisy, TIMESTEP, reference)
    torch.testing.assert_close(
        (untrained - corrected) / prediction.spread(TIMESTEP, noisy), steered - without, atol=1e-4, rtol=1e-4
    )


def test_without_the_denoiser_s_own_noise_an_anchored_prediction_is_refused():
    with pytest.raises(ValueError, match=r"`noise`.*got None"):
        CleanPrediction(SCHEDULE, [0.04] * 3)(draw(1), None, draw(0), TIMESTEP, draw(3))
