import numpy as np
import pytest

from bmenet.imaging.brain import background_mask, bounding_box, foreground_mask, head_mask, holds_head
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.ventricles import estimate_ventricles_ml
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError


def test_foreground_mask_fills_ventricles_and_drops_specks():
    data = np.zeros((30, 30, 30), np.float32)
    data[5:25, 5:25, 5:25] = 0.6
    data[12:15, 12:15, 12:15] = 0.0
    data[1, 1, 1] = 0.9
    brain_mask = foreground_mask(data)
    assert brain_mask.sum() == 20**3
    assert brain_mask[13, 13, 13]
    assert not brain_mask[1, 1, 1]
    with pytest.raises(VolumeError, match="with a brain"):
        foreground_mask(np.zeros_like(data))


def ellipsoid(radii_mm: tuple[float, float, float]) -> np.ndarray:
    """Return whether a voxel of the 4 mm grid lies in an ellipsoid in its middle."""
    axes = [4 * (np.arange(extent) - (extent - 1) / 2) for extent in standard_grid(4).shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return sum((axis / radius) ** 2 for axis, radius in zip((x, y, z), radii_mm, strict=True)) < 1


def test_head_mask_fills_airways_and_what_is_cut_by_the_grid_and_leaves_noisy_air(generator):
    solid = ellipsoid((65, 90, 100))
    data = np.where(solid, 0.6, 0).astype(np.float32)
    data[18:22, 26:30, :6] = 0  # an airway that is open below the grid
    data[10:14, 20:24, 20:24] = 0
    air = np.abs(generator.normal(scale=0.02, size=data.shape)).astype(np.float32)
    found = head_mask(np.maximum(data, air), 4)
    assert found[solid].mean() > 0.999
    rim = ellipsoid((73, 98, 108))
    assert not found[~rim].any()
    with pytest.raises(VolumeError, match="with a head"):
        head_mask(air, 4)


def test_a_whole_head_fills_more_of_the_grid_than_any_brain():
    brain, head = (0.5 * ellipsoid(radii).astype(np.float32) for radii in ((70, 90, 64), (75, 100, 80)))
    assert 0.2 < np.mean(brain > 0) < 0.3
    assert np.mean(head > 0) > 0.4
    assert (holds_head(brain), holds_head(head)) == (False, True)
    assert not holds_head(load_template(standard_grid(4)).data)


def test_background_mask_spares_every_piece_of_tissue_and_its_rim():
    data = np.zeros((40, 40, 40), np.float32)
    data[5:25, 5:25, 5:25] = 0.6
    data[10:14, 10:14, 10:14] = 0.0
    data[30:34, 30:34, 30:34] = 0.3
    data[2, 37, 2] = 0.9
    background = background_mask(data)
    assert not background[5:25, 5:25, 5:25].any()
    assert not background[30:34, 30:34, 30:34].any()
    assert not background[3, 15, 15]
    assert background[2, 15, 15]
    assert background[2, 37, 2]


def test_the_box_is_tight_and_a_margin_ends_where_the_grid_does():
    inside = np.zeros((9, 9, 9), bool)
    inside[2:5, 3, 4:8] = True
    assert bounding_box(inside) == (slice(2, 5), slice(3, 4), slice(4, 8))
    assert bounding_box(inside, 3) == (slice(0, 8), slice(0, 7), slice(1, 9))
    assert bounding_box(inside, (0, 1, 2)) == (slice(2, 5), slice(2, 5), slice(2, 9))
    with pytest.raises(ValueError, match="True somewhere"):
        bounding_box(~inside & inside)


def brain_with_holes(*holes: tuple[tuple[float, float, float], float]) -> tuple[Volume, np.ndarray]:
    """A ball of 65 mm of bright tissue with dark balls in it: centre and radius in mm."""
    grid = standard_grid(2)
    places = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1) * 2.0 + grid.affine[:3, 3]
    data = np.where(np.linalg.norm(places - (0, -15, 10), axis=-1) < 65, 0.8, 0).astype(np.float32)
    brain_mask = data > 0
    for centre, radius in holes:
        data[np.linalg.norm(places - centre, axis=-1) < radius] = 0.1
    return Volume(data, grid.affine), brain_mask


@pytest.mark.parametrize("radius", [8.0, 12.0])
def test_the_volume_of_a_known_cavity(radius):
    estimate = estimate_ventricles_ml(*brain_with_holes(((0, -10, 15), radius)))
    assert estimate == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.05)


def test_ventricles_are_deep_whatever_the_scale_and_the_template_has_those_of_a_person():
    # Below the box, and in it, yet near the surface: a sulcus.
    for elsewhere in (((0, -15, -20), 8.0), ((0, 33, 28), 3.5)):
        assert estimate_ventricles_ml(*brain_with_holes(elsewhere)) == 0
    clean, brain_mask = brain_with_holes(((0, -10, 15), 10.0))
    bright = clean.with_data(700 * clean.data)
    assert estimate_ventricles_ml(bright, brain_mask) == estimate_ventricles_ml(clean, brain_mask)
    template = load_template(standard_grid(2))
    assert 5 < estimate_ventricles_ml(template, foreground_mask(template.data)) < 30
