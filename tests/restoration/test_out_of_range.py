import numpy as np
import pytest
from scipy import ndimage

from bmenet.restoration.out_of_range import hidden, litres, put_back, too_bright


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


def test_what_is_brighter_than_in_any_training_is_hidden_and_comes_back_as_bright_without_its_field(
    phantom, clean, brain_mask, field
):
    true, inside = _with_lesion(clean, 2.5)
    scan = phantom.with_data(true * field)
    darkened = phantom.with_data(np.where(inside, 0.8 * true, true))
    excess = too_bright(darkened, scan, brain_mask)
    assert litres(excess) == pytest.approx(inside.sum() * 64 / 1e6, rel=0.4)
    shown = hidden(darkened, scan, brain_mask, excess)
    white = np.percentile(clean[brain_mask], 90)
    assert (shown.data / field)[inside].max() < 1.35 * white < 1.7 * white < (scan.data / field)[inside].max()
    far = ~ndimage.binary_dilation(inside, iterations=2)
    np.testing.assert_array_equal(shown.data[far], scan.data[far])
    returned = put_back(phantom.with_data(shown.data / field), shown, scan, excess)
    np.testing.assert_allclose(returned.data[inside], true[inside], rtol=0.06)
    np.testing.assert_allclose(returned.data[far], (shown.data / field)[far])


def test_half_as_bright_again_as_white_matter_is_all_out_of_range(phantom, clean, brain_mask):
    true, inside = _with_lesion(clean, 1.55)
    scan = phantom.with_data(true)
    white = np.percentile(true[brain_mask], 90)
    assert too_bright(scan, scan, brain_mask).data[inside & (true > 1.48 * white)].max() == 1
    mild = phantom.with_data(np.where(inside, 1.42 * white, true).astype(np.float32))
    assert 0 < too_bright(mild, mild, brain_mask).data.max() < 1


@pytest.mark.parametrize("brightness", [1.0, 1.2])
def test_what_the_networks_know_is_left_to_them_noise_and_field_included(
    phantom, clean, brain_mask, field, brightness, generator
):
    true, _ = _with_lesion(clean, brightness)
    noise = 0.05 * generator.standard_normal(clean.shape).astype(np.float32)
    scan = phantom.with_data(np.abs(true + noise) * field)
    assert too_bright(phantom.with_data(true), scan, brain_mask) is None


def test_only_the_brain_is_looked_at_and_a_network_that_returns_nothing_is_no_reason_to_fail(
    phantom, clean, brain_mask
):
    true, inside = _with_lesion(clean, 3.0)
    scan = phantom.with_data(true)
    assert too_bright(scan, scan, brain_mask) is not None
    assert too_bright(scan, scan, brain_mask & ~ndimage.binary_dilation(inside, iterations=2)) is None
    assert too_bright(phantom.with_data(0 * true), scan, brain_mask) is None
    assert too_bright(scan, scan, np.zeros_like(brain_mask)) is None
