"""A fresh case: nothing but the degradation model without variety; the clean twin whatever is drawn; reproducible."""

import numpy as np
import pytest

from bmenet.config.degradation import ResolutionConfig
from bmenet.degradation import apply, draw
from bmenet.degradation.fresh_case import fresh_case, part_of

CODES = ["000", "100", "010", "001", "110", "101", "011", "111"]


def always(variety, **chances: float):
    """Return a variety of which only the named parts happen, and always."""
    return variety.model_copy(
        update={
            name: getattr(variety, name).model_copy(update={"chance": chances.get(name, 0.0)})
            for name in type(variety).model_fields
        }
    )


@pytest.mark.parametrize("code", ["000", "111"])
def test_without_variety_it_is_the_degradation_model(phantom, online, code):
    degraded, target = fresh_case(phantom, online.severity, code, None, np.random.default_rng(4))
    parameters = draw(online.severity, code, phantom, np.random.default_rng(4))
    np.testing.assert_array_equal(degraded.data, apply(phantom, parameters).data)
    assert target is phantom


@pytest.mark.parametrize("code", CODES)
def test_same_generator_same_case_another_one_another(phantom, online, variety, code):
    first, same, other = (
        fresh_case(phantom, online.severity, code, variety, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for one, two in zip(first, same, strict=True):
        np.testing.assert_array_equal(one.data, two.data)
    assert not np.array_equal(first[0].data, other[0].data)


@pytest.mark.parametrize("part", ["deformation", "contrast", "resolution", "scalp", "stripping"])
def test_undegraded_head_is_its_own_target(phantom, online, variety, part):
    coarse_voxels = variety.model_copy(update={"resolution": ResolutionConfig(chance=1, fwhm_mm=[8, 8])})
    chosen = always(coarse_voxels, **{part: 1.0})
    degraded, target = fresh_case(phantom, online.severity, "000", chosen, np.random.default_rng(0))
    np.testing.assert_array_equal(degraded.data, target.data)
    assert np.array_equal(target.data, phantom.data) == (part == "stripping")


@pytest.mark.parametrize(("part", "code"), [("ghosting", "100"), ("uneven_noise", "010")])
def test_artefacts_come_on_top_of_their_effect_and_leave_the_target(phantom, online, variety, part, code):
    results = [
        fresh_case(phantom, online.severity, code, always(variety, **chances), np.random.default_rng(3))
        for chances in ({}, {part: 1.0})
    ]
    assert not np.array_equal(results[0][0].data, results[1][0].data)
    np.testing.assert_array_equal(results[1][1].data, phantom.data)


@pytest.mark.parametrize("part", ["stripping", "scalp"])
def test_stripping_empties_the_background_of_a_noisy_scan_and_leaves_the_innermost_scalp(
    phantom, online, variety, part
):
    degraded, target = fresh_case(
        phantom, online.severity, "111", always(variety, **{part: 1.0}), np.random.default_rng(0)
    )
    shown = (degraded.data > 0) | (target.data > 0)
    assert shown.sum() < 2 * (phantom.data > 0).sum()
    assert not shown[0].any()
    assert not np.array_equal(degraded.data, target.data)


def test_part_of_the_ranges_never_exceeds_them(online):
    rng = np.random.default_rng(0)
    parts = [part_of(online.severity, rng) for _ in range(50)]
    rotations = [part.motion.max_rotation_deg for part in parts]
    assert max(rotations) <= online.severity.motion.max_rotation_deg
    assert min(rotations) < 0.5 * max(rotations)
    assert all(part.noise.sigma.low == online.severity.noise.sigma.low for part in parts)
    assert all(part.noise.sigma.high <= online.severity.noise.sigma.high for part in parts)
    assert all(part.bias.ratio.high <= online.severity.bias.ratio.high for part in parts)
