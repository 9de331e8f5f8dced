"""Bent and clothed heads stay heads: empty background, unit intensities, the brain where it was."""

import numpy as np
import pytest
from scipy import ndimage

from bmenet.config.degradation import DeformationConfig
from bmenet.degradation.anatomy import add_scalp, bend, distance_to, smooth_map


def bent(phantom, rms_mm: float, widening: float = 0.0, seed: int = 0):
    config = DeformationConfig(chance=1, rms_mm=[rms_mm, rms_mm], widening=widening)
    return bend(phantom, config, np.random.default_rng(seed))


def test_deformation_moves_tissue_and_keeps_its_intensities(phantom):
    np.testing.assert_allclose(bent(phantom, 0).data, phantom.data, atol=1e-5)
    moved = bent(phantom, 4)
    assert np.mean(np.abs(moved.data - phantom.data) > 0.1) > 0.01
    assert moved.data.min() >= 0
    assert moved.data.max() <= 1
    assert (moved.data > 0).sum() == pytest.approx((phantom.data > 0).sum(), rel=0.15)
    assert not moved.data[0].any()


def test_deformation_is_as_long_as_asked_for(phantom):
    """A ramp along x, displaced, changes by the displacement along x."""
    x = np.arange(40, dtype=np.float32)[:, None, None]
    ramp = phantom.with_data(np.broadcast_to(0.1 + 0.02 * x, phantom.data.shape))
    inside = (slice(6, -6),) * 3
    change = [((bent(ramp, 3, seed=seed).data - ramp.data)[inside] / 0.02 * 4) for seed in range(8)]
    assert np.sqrt(np.mean(np.square(change))) == pytest.approx(3 / np.sqrt(3), rel=0.3)


def test_ventricles_widen_and_narrow(phantom):
    middle = (slice(14, 26), slice(22, 36), slice(16, 28))
    plain = phantom.data[middle].mean()
    found = [bent(phantom, 0, widening=0.9, seed=seed).data[middle].mean() for seed in range(8)]
    assert min(found) < plain - 0.005
    assert max(found) > plain + 0.001


def test_scalp_lies_around_an_unchanged_brain(phantom):
    head, distance_mm = add_scalp(phantom, np.random.default_rng(1))
    inside = distance_mm == 0
    np.testing.assert_array_equal(head.data[inside], phantom.data[inside])
    np.testing.assert_array_equal(inside, phantom.data > 0.02)
    ring = head.data[(distance_mm > 0) & (distance_mm < 16)]
    assert ring.max() > 0.3
    assert ring.min() < 0.25
    assert not head.data[distance_mm > 25].any()


def test_distance_is_exact_to_a_voxel(phantom):
    inside = phantom.data > 0
    exact = ndimage.distance_transform_edt(~inside, sampling=4)
    error = np.abs(distance_to(inside, 4) - exact)
    assert (error.max() <= 8, error.mean() < 2) == (True, True)


def test_smooth_map_stays_in_its_range_and_varies():
    drawn = smooth_map((40, 56, 40), 0.2, 0.9, 12, np.random.default_rng(0))
    assert drawn.shape == (40, 56, 40)
    assert 0.2 <= drawn.min() < 0.4 < 0.7 < drawn.max() <= 0.9
    assert np.abs(np.diff(drawn, axis=0)).max() < 0.15
