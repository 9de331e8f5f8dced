"""Detail comes back where noise hid it, the field stays the network's, and what has no noise stays as it is."""

import numpy as np
import pytest
from scipy import ndimage

from bmenet.inference.detail import bring_back_detail, noise_sigma, non_local_means
from bmenet.metrics.fidelity import psnr

SIGMA = 0.05


@pytest.fixture
def clean(phantom):
    """The phantom, a little soft as scans are."""
    return np.where(phantom.data > 0, ndimage.gaussian_filter(phantom.data, 0.6), 0).astype(np.float32)


@pytest.fixture
def noisy(clean, generator):
    noise = SIGMA * generator.standard_normal((2, *clean.shape)).astype(np.float32)
    return np.hypot(clean + noise[0], noise[1])


@pytest.fixture
def smooth(clean):
    """What a network makes of the scan that takes detail for noise."""
    return np.where(clean > 0, ndimage.gaussian_filter(clean, 1.0), 0)


@pytest.mark.parametrize("sigma", [0.02, 0.06])
def test_noise_is_measured(clean, generator, sigma):
    softer = ndimage.gaussian_filter(clean, 1.0)  # a voxel of 1 mm is small beside a fold; here it is 4 mm
    data = softer + sigma * generator.standard_normal(clean.shape)
    assert noise_sigma(data, clean > 0) == pytest.approx(sigma, rel=0.1)


def test_there_is_no_noise_where_there_is_no_signal(clean):
    assert noise_sigma(clean, np.zeros(clean.shape, bool)) == 0
    assert noise_sigma(np.where(clean > 0, np.float32(0.5), 0), clean > 0) == 0


def test_means_of_like_patches_take_noise_away_and_keep_edges(clean, noisy):
    inside = clean > 0
    denoised = non_local_means(noisy, SIGMA)
    assert psnr(denoised, clean, inside) > psnr(noisy, clean, inside) + 2
    assert psnr(denoised, clean, inside) > psnr(ndimage.gaussian_filter(noisy, 1.0), clean, inside) + 2
    np.testing.assert_allclose(non_local_means(np.full((6, 7, 8), 0.5, np.float32), SIGMA), 0.5, rtol=1e-6)


def test_detail_comes_back(clean, noisy, smooth):
    inside = clean > 0
    result = bring_back_detail(smooth, noisy, 1)
    assert psnr(result, clean, inside) > psnr(smooth, clean, inside) + 1
    assert not result[~inside].any()
    assert result.min() >= 0


def test_the_field_is_the_networks(clean, noisy, smooth):
    field = np.linspace(0.7, 1.3, clean.shape[0], dtype=np.float32)[:, None, None]
    result = bring_back_detail(smooth, noisy * field, 1)
    middle = clean.shape[0] // 2
    gains = [result[half].sum() / smooth[half].sum() for half in (np.s_[:middle], np.s_[middle:])]
    assert gains[0] == pytest.approx(gains[1], rel=0.06)  # the scan's own: 0.85 and 1.15


def test_a_scan_without_noise_and_a_coarse_grid_change_nothing(clean, noisy, smooth):
    flat = np.where(clean > 0, np.float32(0.5), 0)
    np.testing.assert_array_equal(bring_back_detail(smooth, flat, 1), smooth)
    np.testing.assert_array_equal(bring_back_detail(smooth, noisy, 2), smooth)
    empty = np.zeros_like(smooth)
    np.testing.assert_array_equal(bring_back_detail(empty, noisy, 1), empty)


def test_more_noise_brings_back_more_until_all_is_there(clean, smooth, generator):
    noise = generator.standard_normal(clean.shape).astype(np.float32)
    changes = [np.abs(bring_back_detail(smooth, clean + sigma * noise, 1) - smooth).max() for sigma in (0.0125, 0.016)]
    assert 0 < changes[0] < changes[1]
