"""Order of tissues, empty background, lost detail; ghosts away from the head; noise of a strength and a grain."""

import numpy as np
import pytest

from bmenet.config.degradation import ContrastConfig, GhostingConfig, ResolutionConfig
from bmenet.degradation.acquisition import ghost, lower_resolution, recontrast, uneven_noise


def test_contrast_keeps_the_order_of_tissues_and_both_ends(phantom):
    config = ContrastConfig(chance=1, gamma=[0.6, 1.6], bend=0.5)
    for seed in range(5):
        changed = recontrast(phantom, config, np.random.default_rng(seed))
        levels = [changed.data[phantom.data == value].mean() for value in np.unique(phantom.data)]
        assert levels == sorted(levels)
        assert levels[0] == 0
        ends = recontrast(phantom.with_data(np.clip(2 * phantom.data, 0, 1)), config, np.random.default_rng(seed))
        assert ends.data.max() == 1


def test_contrast_of_no_bend_is_a_power(phantom):
    config = ContrastConfig(chance=1, gamma=[2.0, 2.0], bend=0)
    changed = recontrast(phantom, config, np.random.default_rng(0))
    np.testing.assert_allclose(changed.data, phantom.data**2, atol=0.02)


def test_resolution_is_lost_inside_and_the_background_stays_empty(phantom):
    config = ResolutionConfig(chance=1, fwhm_mm=[8, 8])
    blurred, sigma = lower_resolution(phantom, config, np.random.default_rng(3))
    inside = phantom.data > 0
    assert not blurred.data[~inside].any()
    before, after = (
        sum(np.square(np.diff(d, axis=axis)).sum() for axis in range(3)) for d in (phantom.data, blurred.data)
    )
    assert after < 0.95 * before
    assert 0 < sigma.min() <= sigma.max() < 1


def ghosted(image: np.ndarray, amplitude: float, period: float, seed: int) -> np.ndarray:
    config = GhostingConfig(chance=1, amplitude=[amplitude, amplitude], period_lines=[period, period])
    return np.abs(ghost(image, seed % 3, config, np.random.default_rng(seed)))


def test_no_blur_and_no_amplitude_change_nothing(phantom):
    blurred, sigma = lower_resolution(phantom, ResolutionConfig(chance=1, fwhm_mm=[0, 0]), np.random.default_rng(0))
    np.testing.assert_array_equal(blurred.data, phantom.data)
    assert not sigma.any()
    np.testing.assert_allclose(ghosted(phantom.data, 0, 4, 0), phantom.data, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_ghost_puts_the_head_into_the_background(phantom, seed):
    degraded = ghosted(phantom.data, 0.3, 2, seed)
    background = phantom.data == 0
    assert degraded[background].mean() > 0.005
    assert degraded[~background].mean() == pytest.approx(phantom.data[~background].mean(), rel=0.3)


def test_noise_is_as_strong_as_asked_for_and_has_a_grain():
    shape, rng = (40, 56, 40), np.random.default_rng(0)
    white = uneven_noise(shape, 0.05, np.zeros(3), 0, rng)
    grainy = uneven_noise(shape, 0.05, np.full(3, 0.8), 0, rng)
    for noise in (white, grainy):
        assert noise.real.std() == pytest.approx(0.05, rel=0.05)
        assert noise.imag.std() == pytest.approx(0.05, rel=0.05)
    alike = [np.corrcoef(noise.real[1:].ravel(), noise.real[:-1].ravel())[0, 1] for noise in (white, grainy)]
    assert abs(alike[0]) < 0.02
    assert alike[1] > 0.3


def test_noise_of_a_spread_is_stronger_in_some_places():
    noise = uneven_noise((40, 56, 40), 0.05, np.zeros(3), 2.0, np.random.default_rng(1))
    corners = [noise[x : x + 12, y : y + 12, z : z + 12].std() for x in (0, 28) for y in (0, 44) for z in (0, 28)]
    assert max(corners) > 1.5 * min(corners)
