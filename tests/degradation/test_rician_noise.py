import numpy as np
import pytest

from bmenet.degradation import rician_noise


def test_noise_has_rician_moments():
    # Gudbjartsson and Patz 1995: E[m^2] = A^2 + 2 sigma^2; without signal the mean is sigma sqrt(pi / 2).
    sigma, signal = 0.05, 0.4
    shape = (64, 64, 64)
    inside = np.abs(rician_noise.apply(np.full(shape, signal, np.float32), {"sigma": sigma, "seed": 1}))
    outside = np.abs(rician_noise.apply(np.zeros(shape, np.float32), {"sigma": sigma, "seed": 2}))
    assert np.mean(inside**2) == pytest.approx(signal**2 + 2 * sigma**2, rel=2e-3)
    assert outside.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=5e-3)
    assert outside.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=5e-3)
