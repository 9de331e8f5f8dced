"""Filters take Rician noise away, keep edges and what is even, and an estimate of the clean scan leads them better."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.restoration import denoising
from bmenet.restoration.denoising import guided_means, noise_sigma, non_local_means, wiener

SIGMA = 0.05
GUIDED = [guided_means, wiener]


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


@pytest.mark.parametrize("denoise", GUIDED)
def test_the_closer_the_estimate_the_closer_the_result(clean, noisy, denoise):
    estimates = [ndimage.gaussian_filter(noisy, 1.0), non_local_means(noisy, SIGMA), clean]
    quality = [psnr(denoise(noisy, estimate, SIGMA), clean, clean > 0) for estimate in estimates]
    assert psnr(noisy, clean, clean > 0) + 2 < quality[0] < quality[1] - 0.3 < quality[2] - 0.6


@pytest.mark.parametrize("denoise", GUIDED)
def test_detail_comes_from_the_scan_not_from_the_estimate(clean, noisy, denoise):
    lesion = np.zeros(clean.shape, bool)
    lesion[18:22, 26:30, 18:22] = True
    with_lesion = noisy + np.float32(0.4) * lesion
    gained = denoise(with_lesion, clean, SIGMA) - denoise(noisy, clean, SIGMA)
    assert gained[lesion].mean() > 0.05  # the estimate knows nothing of it
    np.testing.assert_allclose(gained[:8], 0, atol=1e-6)


def test_an_even_scan_stays_even(generator):
    """Rician noise brightens a dark scan; what is left is as bright as the signal."""
    even = np.full((14, 15, 17), 0.2, np.float32)
    noise = SIGMA * generator.standard_normal((2, *even.shape)).astype(np.float32)
    noisy = np.hypot(even + noise[0], noise[1])
    assert noisy.mean() > 0.205
    for denoise in (non_local_means, partial(guided_means, guide=even), partial(wiener, guide=even)):
        denoised = denoise(noisy, sigma=SIGMA)
        assert denoised.mean() == pytest.approx(0.2, abs=0.002)
        assert denoised.std() < noisy.std() / 2


def test_the_mean_of_a_block_does_not_come_from_the_estimate():
    even = np.full((14, 15, 17), 0.5, np.float32)
    inner = wiener(even, np.zeros_like(even), SIGMA)[4:-4, 4:-4, 4:-4]
    np.testing.assert_allclose(inner, 0.5 - SIGMA**2 / (2 * 0.5), rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4, 4), (9, 6, 7), (37, 8, 5)])
def test_neither_shape_nor_layout_matters(shape, generator):
    data = generator.random(shape).astype(np.float32)
    for denoise in (non_local_means, partial(guided_means, guide=data), partial(wiener, guide=data)):
        denoised = denoise(data, sigma=SIGMA)
        assert denoised.shape == shape
        np.testing.assert_array_equal(denoise(np.asfortranarray(data), sigma=SIGMA), denoised)


def test_slabs_leave_no_seam(noisy, clean, monkeypatch):
    in_slabs = wiener(noisy, clean, SIGMA)
    monkeypatch.setattr(denoising, "_SLAB", 2 * len(noisy))
    np.testing.assert_allclose(wiener(noisy, clean, SIGMA), in_slabs, atol=1e-6)
