import numpy as np
import pytest

from benchmarks.robustness.noise import add_correlated_noise, add_noise, draw_g_factor

SHAPE = (40, 44, 48)


def test_a_g_factor_is_at_least_one_and_largest_inside(generator):
    g_factor = draw_g_factor(SHAPE, 3.0, generator)
    assert g_factor.min() >= 1
    assert 2 < g_factor.max() <= 3
    place = np.array(np.unravel_index(g_factor.argmax(), SHAPE))
    assert (np.abs(place / SHAPE - 0.5) < 0.3).all()


def test_noise_follows_its_map(generator):
    sigma = np.full(SHAPE, 0.1, np.float32)
    sigma[20:] = 0.3
    noise = add_noise(np.zeros(SHAPE), sigma, generator)
    assert noise[:20].real.std() == pytest.approx(0.1, rel=0.02)
    assert noise[20:].imag.std() == pytest.approx(0.3, rel=0.02)


def test_neighbours_share_correlated_noise_of_the_same_strength(generator):
    noise = add_correlated_noise(np.zeros(SHAPE), 0.1, 2.0, generator)
    assert noise.real.std() == pytest.approx(0.1, rel=0.05)
    assert np.corrcoef(noise.real[1:].ravel(), noise.real[:-1].ravel())[0, 1] > 0.4
    white = add_noise(np.zeros(SHAPE), 0.1, generator)
    assert abs(np.corrcoef(white.real[1:].ravel(), white.real[:-1].ravel())[0, 1]) < 0.02
