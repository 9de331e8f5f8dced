import numpy as np
import pytest

from benchmarks.robustness.variants import with_close_tissues, with_gamma, with_wide_ventricles
from bmenet.imaging.brain import foreground_mask


@pytest.mark.parametrize("change", [lambda v: with_gamma(v, 0.6), lambda v: with_gamma(v, 1.5), with_close_tissues])
def test_a_curve_keeps_black_white_and_the_order_of_tissues(phantom, change):
    ramp = phantom.with_data(np.linspace(0, 1, phantom.data.size).reshape(phantom.data.shape))
    changed = change(ramp).data.ravel()
    assert changed[0] == pytest.approx(0)
    assert changed[-1] == pytest.approx(1)
    assert (np.diff(changed) >= -1e-6).all()


def test_close_tissues_are_half_as_far_apart(phantom):
    changed = with_close_tissues(phantom).data
    grey, white = (changed[phantom.data == np.float32(value)][0] for value in (0.5, 0.85))
    assert 0.05 < white - grey < 0.25


def test_ventricles_widen_and_the_brain_stays(phantom):
    brain_mask = foreground_mask(phantom.data)
    wide = with_wide_ventricles(phantom, brain_mask, 4.0).data
    inner = (slice(12, 28), slice(15, 42), slice(16, 30))
    assert np.count_nonzero(wide[inner] < 0.35) > 1.2 * np.count_nonzero(phantom.data[inner] < 0.35)
    assert np.abs(wide - phantom.data)[:8].max() < 0.02
    assert with_wide_ventricles(phantom, brain_mask, 0.0).data == pytest.approx(phantom.data, abs=1e-5)
