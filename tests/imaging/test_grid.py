import numpy as np
import pytest

from bmenet.imaging.grid import Grid, standard_grid


@pytest.mark.parametrize(("spacing", "shape"), [(1, (160, 224, 160)), (2, (80, 112, 80)), (4, (40, 56, 40))])
def test_standard_grid_covers_one_field_of_view_at_every_spacing(spacing, shape):
    grid = standard_grid(spacing)
    assert grid.shape == shape
    assert grid.spacing_mm == (spacing,) * 3
    faces = grid.affine @ np.array([[-0.5] * 3 + [1], [extent - 0.5 for extent in shape] + [1]]).T
    np.testing.assert_allclose(faces[:3].T, [(-80.5, -130.5, -72.5), (79.5, 93.5, 87.5)])


def test_standard_grid_at_1_mm_is_brainldms():
    # Pinaya et al. 2022: 160 x 224 x 160 voxels of 1 mm, origin (-80, -130, -72) in MNI152.
    np.testing.assert_array_equal(standard_grid(1).affine[:3], np.column_stack([np.eye(3), (-80, -130, -72)]))
    with pytest.raises(ValueError, match="expected 1, 2 or 4; got 3"):
        standard_grid(3)


def test_spacing_of_an_oblique_grid_is_its_edge_lengths():
    cosine, sine = np.cos(0.5), np.sin(0.5)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([0.5, -2, 3])
    assert Grid((4, 4, 4), affine).spacing_mm == pytest.approx((0.5, 2, 3))


def test_same_as_compares_shape_and_affine():
    grid = standard_grid(2)
    moved = grid.affine.copy()
    moved[0, 3] += 0.01
    assert grid.same_as(standard_grid(2))
    assert not grid.same_as(Grid(grid.shape, moved))
    assert not grid.same_as(Grid((80, 112, 81), grid.affine))
