"""How much of the restoration enters the result: all where it is needed, nothing where it is not, a ramp between."""

from dataclasses import replace

import numpy as np
import pytest

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.resample import resample
from bmenet.restoration import enhancer as module
from bmenet.restoration.way_back import (
    DECIDED,
    NEGLIGIBLE,
    adaptive_strength,
    brain_ramp,
    face_ramp,
    left_around,
    own_field,
)
from tests.restoration.test_enhancer import _head_motion, _native_grid


def _strength(phantom, change: float) -> float:
    inside = phantom.data > 0.02
    return adaptive_strength(phantom.data, phantom.data + change * inside, inside, 4)


def test_strength_rises_from_nothing_to_all_with_the_change(phantom):
    strengths = [_strength(phantom, change) for change in np.linspace(0, 2 * DECIDED, 9)]
    assert strengths[0] == 0
    assert strengths[-1] == 1
    assert strengths == sorted(strengths)
    assert 0 < _strength(phantom, (NEGLIGIBLE + DECIDED) / 2) < 1


def test_neither_the_scale_nor_what_lies_outside_the_brain_counts(phantom):
    inside = phantom.data > 0.02
    before, after = 700 * phantom.data, 700 * (phantom.data + 0.015 * inside)
    assert adaptive_strength(before, after, inside, 4) == pytest.approx(_strength(phantom, 0.015), rel=1e-3)
    cleaned = np.where(inside, phantom.data, 0)
    noisy = phantom.data + 0.2 * ~inside
    assert adaptive_strength(noisy, cleaned, inside, 4) < 0.2


@pytest.mark.parametrize("is_stripped", [True, False])
def test_clean_scan_comes_back_to_the_last_bit(make_enhancer, make_scan, smooth, is_stripped):
    native = resample(smooth, _native_grid("LPS", tilt_deg=20), np.linalg.inv(_head_motion()))
    scan = make_scan(native.with_data(np.maximum(native.data, 0)))
    enhancer = make_enhancer(moving2fixed=_head_motion(), is_stripped=is_stripped, is_adaptive=True)
    enhanced = enhancer.enhance(scan)
    assert enhanced.strength == 0
    np.testing.assert_array_equal(enhanced.scan.volume.data, scan.volume.data)


def test_degraded_scan_gets_all_of_the_restoration(make_enhancer, make_scan, smooth):
    native = resample(smooth, _native_grid("LPS"))
    assert make_enhancer(lambda data: 0.8 * data, is_adaptive=True).enhance(make_scan(native)).strength == 1


def test_part_of_a_restoration_is_a_mean_around_the_brain_as_well(make_enhancer, make_scan, smooth, monkeypatch):
    """Brain extraction of a stripped scan cuts a little: what it leaves out must not get darker than either scan."""
    enhancer = make_enhancer(lambda data: 0.5 * data, brain=lambda volume: volume.data > 0.3)
    monkeypatch.setattr(module, "adaptive_strength", lambda *_: 0.25)
    enhanced = enhancer.enhance(make_scan(smooth))
    np.testing.assert_allclose(enhanced.scan.volume.data, (0.75 + 0.25 * 0.5) * smooth.data, atol=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_noise_around_a_brain_is_weakened_alike_beyond_the_field_of_view(strength):
    weight = strength * np.linspace(0, 1, 9, dtype=np.float32)
    left = (1 - weight) * left_around(weight, strength)
    np.testing.assert_allclose(left, 1 - strength, atol=1e-6)


def test_ramps_are_one_inside_and_fall_to_zero_at_the_faces_and_around_the_brain():
    weight = face_ramp((20, 10, 10), (1.0, 2.0, 4.0))
    np.testing.assert_allclose(weight[:6, 5, 5], [0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(weight[10, -4:, 5], [1, 1, 0.5, 0])
    assert (weight[:, :, [0, -1]] == 0).all()
    np.testing.assert_array_equal(weight, weight[::-1, ::-1, ::-1])
    np.testing.assert_allclose(brain_ramp(np.array([0, 1, 2, 3, 50])), [1, 1, 0.5, 0, 0])


def test_what_a_network_took_out_comes_back_and_noise_does_not(clean, noisy):
    field = np.linspace(0.7, 1.3, clean.shape[1], dtype=np.float32)[None, :, None]
    inside = clean > 0
    returned = clean * own_field(clean, noisy * field, 1)
    assert psnr(returned, clean * field, inside) > 30 > psnr(noisy * field, clean * field, inside)
    assert psnr(clean, clean * field, inside) < 25
    assert (own_field(clean, noisy * field, 1)[clean == 0] == 1).all()


@pytest.mark.parametrize("keeps_field", [False, True])
def test_an_enhancer_keeps_the_field_where_it_is_asked_to(make_enhancer, make_scan, smooth, keeps_field):
    field = np.linspace(0.7, 1.3, smooth.data.shape[1], dtype=np.float32)[None, :, None]
    scan = make_scan(smooth.with_data(smooth.data * field))
    enhancer = replace(make_enhancer(lambda data: data / field), keeps_field=keeps_field)
    inside = smooth.data > 0.1
    wanted = scan.volume.data if keeps_field else smooth.data
    error = (enhancer.enhance(scan).scan.volume.data - wanted)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.02
