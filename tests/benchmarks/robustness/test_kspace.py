import numpy as np
import pytest
from scipy import fft

from benchmarks.robustness.kspace import ghost, thicken, truncate


@pytest.mark.parametrize("axis", range(3))
def test_ghosts_keep_the_mean_and_lie_evenly(phantom, axis):
    point = np.zeros((32, 32, 32), np.float32)
    point[16, 16, 16] = 1
    spread = ghost(point, axis, period=4, intensity=0.8, restored=0)
    line = np.moveaxis(spread, axis, 0)[:, 16, 16]
    assert set(np.argsort(line)[-4:]) == {0, 8, 16, 24}
    assert ghost(phantom.data, axis, 4, 0.0) == pytest.approx(phantom.data, abs=1e-5)
    # Before the magnitude the mean is exact; noise-free ghosts add little to it.
    assert ghost(phantom.data, axis, 6, 0.7).mean() == pytest.approx(phantom.data.mean(), rel=0.15)


def test_a_cut_of_k_space_removes_what_is_beyond_it_and_keeps_the_mean(phantom):
    cut = truncate(phantom.data + 1, axis=1, kept=0.5)  # on a bright ground the magnitude changes no sign
    spectrum = np.abs(fft.fft(cut, axis=1)).max(axis=(0, 2))
    frequency = np.abs(fft.fftfreq(cut.shape[1]))
    assert spectrum[frequency > 0.25].max() < 1e-3 * spectrum.max()
    assert cut.mean() == pytest.approx(phantom.data.mean() + 1, rel=1e-5)
    assert truncate(phantom.data, 1, 1.0) == pytest.approx(phantom.data, abs=1e-5)


def test_thick_slices_blur_along_their_axis_alone(phantom):
    ramp = phantom.with_data(np.broadcast_to(np.arange(40.0)[:, None, None], phantom.data.shape))
    assert thicken(ramp, axis=1, thickness_mm=12) == pytest.approx(ramp.data)
    assert thicken(ramp, axis=0, thickness_mm=12)[2:-2] == pytest.approx(ramp.data[2:-2], abs=1e-4)
    assert thicken(phantom, axis=2, thickness_mm=4) == pytest.approx(phantom.data)
    assert np.abs(thicken(phantom, axis=2, thickness_mm=12) - phantom.data).max() > 0.1
