"""Detail comes back where noise hid it, the field stays the network's, and what has no noise stays as it is."""

import numpy as np
import pytest
from scipy import ndimage

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.restoration import detail
from bmenet.restoration.denoising import non_local_means
from bmenet.restoration.detail import bring_back_detail


@pytest.fixture
def smooth(clean):
    """What a network makes of the scan that takes detail for noise."""
    return np.where(clean > 0, ndimage.gaussian_filter(clean, 1.0), 0)


def test_detail_comes_back(clean, noisy, smooth, monkeypatch):
    inside = clean > 0
    result = bring_back_detail(smooth, noisy, smooth > 0, 1)
    for led_by_an_estimate in ("guided_means", "wiener"):
        monkeypatch.setattr(detail, led_by_an_estimate, lambda data, guide, sigma: non_local_means(data, sigma))
    in_one_step = bring_back_detail(smooth, noisy, smooth > 0, 1)
    assert psnr(result, clean, inside) > psnr(in_one_step, clean, inside) + 0.3
    assert psnr(in_one_step, clean, inside) > psnr(smooth, clean, inside) + 3
    assert not result[~inside].any()
    assert result.min() >= 0


def test_the_field_is_the_networks(clean, noisy, smooth):
    field = np.linspace(0.7, 1.3, clean.shape[0], dtype=np.float32)[:, None, None]
    result = bring_back_detail(smooth, noisy * field, smooth > 0, 1)
    middle = clean.shape[0] // 2
    gains = [result[half].sum() / smooth[half].sum() for half in (np.s_[:middle], np.s_[middle:])]
    assert gains[0] == pytest.approx(gains[1], rel=0.06)  # the scan's own: 0.85 and 1.15


def test_a_scan_without_noise_and_a_coarse_grid_change_nothing(clean, noisy, smooth):
    flat = np.where(clean > 0, np.float32(0.5), 0)
    np.testing.assert_array_equal(bring_back_detail(smooth, flat, smooth > 0, 1), smooth)
    np.testing.assert_array_equal(bring_back_detail(smooth, noisy, smooth > 0, 2), smooth)
    empty = np.zeros_like(smooth)
    np.testing.assert_array_equal(bring_back_detail(empty, noisy, empty > 0, 1), empty)


def test_more_noise_brings_back_more(clean, smooth, generator):
    noise = generator.standard_normal(clean.shape).astype(np.float32)
    changes = [
        np.abs(bring_back_detail(smooth, clean + sigma * noise, smooth > 0, 1) - smooth).max()
        for sigma in (0.0125, 0.016)
    ]
    assert 0 < changes[0] < changes[1]
