import numpy as np
import pytest

from benchmarks.robustness.coil import draw_coil_array, draw_gaussian_sources
from bmenet.imaging.brain import foreground_mask


@pytest.mark.parametrize("draw", [draw_coil_array, draw_gaussian_sources])
def test_a_field_is_smooth_and_has_its_ratio_and_a_mean_of_one(phantom, generator, draw):
    brain_mask = foreground_mask(phantom.data)
    field = draw(phantom, brain_mask, 0.5, 4, generator)
    inside = field[brain_mask]
    assert inside.mean(dtype=float) == pytest.approx(1, rel=1e-4)
    assert (inside.max() - inside.min()) / (inside.max() + inside.min()) == pytest.approx(0.5, rel=1e-3)
    assert field.min() > 0
    both = brain_mask[1:] & brain_mask[:-1]
    assert np.abs(np.diff(np.log(field), axis=0))[both].max() < 0.3
    flat = draw(phantom, brain_mask, 0.0, 4, generator)
    assert flat == pytest.approx(np.ones_like(flat))
