"""A fresh case: nothing but the degradation model without variety; the clean twin whatever is drawn; reproducible."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bmenet.config.degradation import ResolutionConfig
from bmenet.degradation import apply, draw
from bmenet.degradation.fresh_case import Anatomy, fresh_case, part_of
from bmenet.imaging.brain import foreground_mask

CODES = ["000", "100", "010", "001", "110", "101", "011", "111"]


def always(variety, **chances: float):
    """Return a variety of which only the named parts happen, and always."""
    return variety.model_copy(
        update={
            name: getattr(variety, name).model_copy(update={"chance": chances.get(name, 0.0)})
            for name in type(variety).model_fields
        }
    )


@pytest.fixture
def stripped(phantom) -> Anatomy:
    return Anatomy(phantom, foreground_mask(phantom.data), is_skull_stripped=True)


@pytest.fixture
def whole(stripped) -> Anatomy:
    """A brain in the middle of a bright head, as far as a skull-stripped one has it."""
    around = ndimage.binary_dilation(stripped.brain_mask, iterations=3) & ~stripped.brain_mask
    clean = stripped.clean.with_data(stripped.clean.data + 0.9 * around)
    return replace(stripped, clean=clean, is_skull_stripped=False)


@pytest.mark.parametrize("code", ["000", "111"])
def test_without_variety_it_is_the_degradation_model(stripped, online, code):
    phantom = stripped.clean
    degraded, target, axis = fresh_case(stripped, online.severity, code, None, np.random.default_rng(4))
    parameters = draw(online.severity, code, phantom, np.random.default_rng(4))
    np.testing.assert_array_equal(degraded.data, apply(phantom, parameters).data)
    assert target is phantom
    assert axis == (parameters["motion"]["phase_encode_axis"] if parameters else None)


@pytest.mark.parametrize("code", CODES)
def test_same_generator_same_case_another_one_another(stripped, online, variety, code):
    first, same, other = (
        fresh_case(stripped, online.severity, code, variety, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.degraded.data, same.degraded.data)
    np.testing.assert_array_equal(first.target.data, same.target.data)
    assert not np.array_equal(first.degraded.data, other.degraded.data)
    assert (first.phase_encode_axis is None) == (code[0] == "0")


@pytest.mark.parametrize("part", ["deformation", "contrast", "resolution", "scalp", "stripping"])
def test_undegraded_head_is_its_own_target(stripped, online, variety, part):
    coarse_voxels = variety.model_copy(update={"resolution": ResolutionConfig(chance=1, fwhm_mm=[8, 8])})
    chosen = always(coarse_voxels, **{part: 1.0})
    degraded, target, _ = fresh_case(stripped, online.severity, "000", chosen, np.random.default_rng(0))
    np.testing.assert_array_equal(degraded.data, target.data)
    assert np.array_equal(target.data, stripped.clean.data) == (part == "stripping")


@pytest.mark.parametrize(("part", "code"), [("ghosting", "100"), ("uneven_noise", "010")])
def test_artefacts_come_on_top_of_their_effect_and_leave_the_target(stripped, online, variety, part, code):
    results = [
        fresh_case(stripped, online.severity, code, always(variety, **chances), np.random.default_rng(3))
        for chances in ({}, {part: 1.0})
    ]
    assert not np.array_equal(results[0][0].data, results[1][0].data)
    np.testing.assert_array_equal(results[1][1].data, stripped.clean.data)


@pytest.mark.parametrize("kind", ["stripped", "whole"])
def test_stripping_empties_the_background_of_a_noisy_scan(request, online, variety, kind):
    anatomy = request.getfixturevalue(kind)
    chosen = always(variety, stripping=1.0)
    degraded, target, _ = fresh_case(anatomy, online.severity, "111", chosen, np.random.default_rng(0))
    shown = (degraded.data > 0) | (target.data > 0)
    assert shown.sum() < 2 * anatomy.brain_mask.sum()
    assert not shown[0].any()
    assert not np.array_equal(degraded.data, target.data)


def test_a_head_stays_whole_and_noise_fills_its_air(whole, online, variety):
    degraded, target, _ = fresh_case(whole, online.severity, "010", always(variety), np.random.default_rng(1))
    np.testing.assert_array_equal(target.data, whole.clean.data)
    air = whole.clean.data == 0
    assert (degraded.data[air] > 0).mean() > 0.95


def test_a_stripped_brain_is_set_into_the_head_of_another_person(stripped, whole, online, variety):
    chosen, asked = always(variety, scalp=1.0), []

    def host() -> Anatomy:
        asked.append(1)
        return whole

    _, target, _ = fresh_case(stripped, online.severity, "000", chosen, np.random.default_rng(0), host)
    assert asked
    beyond = ~ndimage.binary_dilation(whole.brain_mask, iterations=2)
    np.testing.assert_allclose(target.data[beyond], whole.clean.data[beyond], atol=1e-3)
    deep = ndimage.binary_erosion(whole.brain_mask, iterations=2)
    assert np.corrcoef(target.data[deep], stripped.clean.data[deep])[0, 1] > 0.98


def test_part_of_the_ranges_never_exceeds_them(online):
    rng = np.random.default_rng(0)
    parts = [part_of(online.severity, rng) for _ in range(50)]
    rotations = [part.motion.max_rotation_deg for part in parts]
    assert max(rotations) <= online.severity.motion.max_rotation_deg
    assert min(rotations) < 0.5 * max(rotations)
    assert all(part.noise.sigma.low == online.severity.noise.sigma.low for part in parts)
    assert all(part.noise.sigma.high <= online.severity.noise.sigma.high for part in parts)
    assert all(part.bias.ratio.high <= online.severity.bias.ratio.high for part in parts)
