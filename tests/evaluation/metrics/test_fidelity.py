import numpy as np
import pytest
from skimage.metrics import structural_similarity

from bmenet.evaluation.metrics.fidelity import PSNR_CAP_DB, hfen, ncc, psnr, ssim


def test_psnr_is_20_db_for_an_error_of_a_tenth_and_capped_for_none(phantom):
    assert psnr(phantom.data + np.float32(0.1), phantom.data) == pytest.approx(20, abs=1e-4)
    assert psnr(phantom.data, phantom.data) == PSNR_CAP_DB


def test_ssim_inside_a_region_is_the_mean_of_the_map(phantom, generator):
    noisy = (phantom.data + 0.1 * generator.standard_normal(phantom.data.shape)).astype(np.float32)
    _, similarity = structural_similarity(
        phantom.data, noisy, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    region = phantom.data > 0
    assert ssim(noisy, phantom.data, region) == pytest.approx(similarity[region].mean(), abs=1e-5)


def test_ncc_does_not_see_gain_and_offset(phantom):
    assert ncc(phantom.data * 3 + 1, phantom.data) == pytest.approx(1)
    assert ncc(-phantom.data, phantom.data) == pytest.approx(-1)
    assert ncc(np.full_like(phantom.data, 0.3), phantom.data) == 0


def test_hfen_is_blind_to_an_offset_and_one_for_an_empty_volume(phantom):
    assert hfen(phantom.data + np.float32(0.2), phantom.data) == pytest.approx(0, abs=1e-3)
    assert hfen(np.zeros_like(phantom.data), phantom.data) == pytest.approx(1)


def test_hfen_kernel_reaches_seven_voxels():
    clean = np.zeros((41, 31, 31), np.float32)
    clean[[10, 30], 15, 15] = 1
    restored = clean.copy()
    restored[10, 15, 15] = 0
    # The error is the kernel around the lost voxel: 7 voxels from it something is left, 8 voxels from it nothing.
    near, beyond = np.zeros((2, *clean.shape), bool)
    near[3, 15, 15] = beyond[2, 15, 15] = True
    near[30, 15, 15] = beyond[30, 15, 15] = True
    assert hfen(restored, clean, near) > 0
    assert hfen(restored, clean, beyond) == 0
