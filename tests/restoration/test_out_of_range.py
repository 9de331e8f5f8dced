import numpy as np
import pytest
from scipy import ndimage

from bmenet.restoration.out_of_range import keep_what_is_too_bright


@pytest.fixture
def brain_mask(clean):
    return ndimage.binary_fill_holes(clean > 0.3)


@pytest.fixture
def field(clean):
    """A smooth field of 0.9 to 1.1 along the first axis."""
    return np.linspace(0.9, 1.1, clean.shape[0], dtype=np.float32)[:, None, None] * np.ones_like(clean)


def _with_lesion(clean, brightness):
    """Return a scan with a ball as many times as bright as white matter, and where it is."""
    centre = np.array(clean.shape) // 2
    inside = sum((axis - at) ** 2 for axis, at in zip(np.indices(clean.shape), centre, strict=True)) < 3**2
    return np.where(inside, brightness * np.percentile(clean[clean > 0.3], 90), clean).astype(np.float32), inside


def test_what_is_brighter_than_in_any_training_keeps_its_brightness_without_its_field(
    phantom, clean, brain_mask, field
):
    true, inside = _with_lesion(clean, 2.5)
    darkened = phantom.with_data(np.where(inside, 0.8 * true, true))
    kept, litres = keep_what_is_too_bright(darkened, phantom.with_data(true * field), brain_mask)
    core = true > 0.9 * true.max()
    np.testing.assert_allclose(kept.data[core] / true[core], 1, atol=0.05)
    assert (darkened.data[core] / true[core]).max() < 0.81
    assert litres == pytest.approx(inside.sum() * 64 / 1e6, rel=0.5)
    far = ~inside & (np.abs(kept.data - darkened.data) > 0)
    assert np.count_nonzero(far) < 2 * np.count_nonzero(inside), "no more than its rim is touched beyond it"


@pytest.mark.parametrize("brightness", [1.0, 1.2])
def test_what_the_networks_know_is_left_to_them_noise_and_field_included(
    phantom, clean, brain_mask, field, brightness, generator
):
    true, _ = _with_lesion(clean, brightness)
    noise = 0.05 * generator.standard_normal(clean.shape).astype(np.float32)
    scan = phantom.with_data(np.abs(true + noise) * field)
    restored = phantom.with_data(true)
    kept, litres = keep_what_is_too_bright(restored, scan, brain_mask)
    assert litres == 0
    assert kept is restored


def test_nothing_beyond_the_brain_is_kept(phantom, clean, brain_mask):
    true, inside = _with_lesion(clean, 3.0)
    restored = phantom.with_data(np.where(inside, 0.7 * true, true))
    assert keep_what_is_too_bright(restored, phantom.with_data(true), brain_mask & ~inside).litres < 1e-4


def test_a_network_that_returns_nothing_is_no_reason_to_fail(phantom, brain_mask):
    nothing = phantom.with_data(0 * phantom.data)
    assert keep_what_is_too_bright(nothing, phantom, brain_mask) == (nothing, 0)
