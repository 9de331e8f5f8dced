"""Ghosts lie a fraction of the field of view away; uneven noise is as strong as asked for, and has a grain."""

import numpy as np
import pytest

from bmenet.config.augmentation import GhostingConfig
from bmenet.degradation.variety.artefacts import ghost, uneven_noise


def ghosted(image: np.ndarray, amplitude: float, period: float, seed: int) -> np.ndarray:
    config = GhostingConfig(chance=1, amplitude=[amplitude, amplitude], period_lines=[period, period])
    return np.abs(ghost(image, config, np.random.default_rng(seed)))


def test_no_amplitude_no_ghost(phantom):
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
