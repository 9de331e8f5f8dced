"""The field of a clean scan: one that was drawn is found, and a homogeneous scan has none."""

from typing import NamedTuple

import numpy as np
import pytest

from bmenet.degradation import bias_field
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.homogeneity import CoilField, averaged, field_size, find_field
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume

ROWS = [[1, 0, 0, 0.3], [0, 1, 0, 0.2], [1, 1, 0, 0.15], [0, 0, 2, 0.2]]


def log_field(spacing_mm: int) -> np.ndarray:
    return bias_field.log_field(standard_grid(spacing_mm).shape, ROWS)


class Found(NamedTuple):
    """Fields of the template at 4 mm: as it is, and under a drawn one."""

    brain: np.ndarray
    own: np.ndarray
    under_a_coil: np.ndarray


@pytest.fixture(scope="module")
def template() -> Volume:
    return load_template(standard_grid(4))


@pytest.fixture(scope="module")
def found(template: Volume) -> Found:
    brain = foreground_mask(template.data)
    shaded = template.with_data(300 * template.data * np.exp(log_field(4)))
    own, under_a_coil = (find_field(volume, brain, brain).on(template.grid) for volume in (template, shaded))
    return Found(brain, own, under_a_coil)


def test_a_drawn_field_is_found_within_a_few_per_cent_whatever_the_intensity_scale(found):
    drawn = np.exp(log_field(4) - log_field(4)[found.brain].mean())
    assert field_size(drawn, found.brain) > 0.25
    # N4 takes some of the template's anatomy for a field, and the same with a coil and without.
    error = (np.log(found.under_a_coil / found.own) - np.log(drawn))[found.brain]
    assert np.sqrt(np.mean(error**2)) < 0.04
    assert np.percentile(np.abs(error), 95) < 0.08


def test_a_fields_logarithm_has_a_mean_of_zero_in_the_brain_and_the_template_is_nearly_homogeneous(found):
    for field in (found.own, found.under_a_coil):
        assert np.log(field[found.brain]).mean() == pytest.approx(0, abs=1e-3)
    assert np.log(found.own[found.brain]).std() < 0.1


def test_a_field_goes_on_smoothly_beyond_the_tissue(found):
    log_found, air = np.log(found.under_a_coil), ~found.brain
    assert np.isfinite(log_found).all()
    inside = log_found[found.brain]
    assert inside.min() <= log_found[air].min() < -0.2
    assert 0.2 < log_found[air].max() <= inside.max()
    steps = [np.abs(np.diff(log_found, axis=axis)) for axis in range(3)]
    assert max(step.max() for step in steps) < 0.15
    assert max(float(np.median(step)) for step in steps) < 0.02


def test_a_homogeneous_volume_gets_a_field_near_one(template):
    brain = foreground_mask(template.data)
    field = find_field(template.with_data(700 * brain), brain, brain).on(template.grid)
    np.testing.assert_allclose(field, 1, atol=0.02)
    assert field_size(field, brain) < 0.01


def test_a_field_at_four_millimetres_is_the_same_field_on_finer_grids(template):
    field = CoilField(template.with_data(np.exp(log_field(4)))).on(standard_grid(2))
    # Voxel centres at the edge lie half a voxel further out on the finer grid.
    centre = (slice(4, -4),) * 3
    np.testing.assert_allclose(field[centre], np.exp(log_field(2))[centre], rtol=0.02)
    assert np.isfinite(field).all()


def test_averaged_volume_lies_on_the_standard_grid_and_keeps_its_mean(generator):
    fine = standard_grid(2)
    volume = Volume(generator.random(fine.shape, dtype=np.float32), fine.affine)
    coarse = averaged(volume)
    assert coarse.grid.same_as(standard_grid(4))
    assert coarse.data.mean() == pytest.approx(volume.data.mean(), rel=1e-5)
    assert coarse.data[3, 5, 7] == pytest.approx(volume.data[6:8, 10:12, 14:16].mean(), rel=1e-5)


def test_the_size_of_a_field_is_the_ratio_of_the_presets(generator):
    brain = np.ones((40, 40, 40), bool)
    field = generator.uniform(1, 3, brain.shape)
    assert field_size(field, brain) == pytest.approx(0.5, abs=0.02)
    assert field_size(7 * field, brain) == pytest.approx(field_size(field, brain))
