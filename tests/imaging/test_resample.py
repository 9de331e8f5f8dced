from itertools import product

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume

OBLIQUE = "oblique"
ORIENTATIONS = ["".join(codes) for codes in product("RL", "AP", "SI")]


def rigid(angles_deg: tuple, translation_mm: tuple) -> np.ndarray:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    transform[:3, 3] = translation_mm
    return transform


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """Centres of the blobs, RAS+ mm, shape (5, 3)."""
    return np.array([[0, -18, 8], [35, 20, 0], [-40, -60, 20], [20, -80, -30], [-25, 30, 45]], dtype=float)


def native_grid(orientation: str, landmarks: np.ndarray) -> Grid:
    """A 3 x 2.5 x 4 mm grid about the landmarks; RAS turned by 30 degrees for an oblique one."""
    spacing = np.diag([3.0, 2.5, 4.0])
    turn = rigid((30, 10, -15), (0, 0, 0))[:3, :3]
    linear = (turn if orientation == OBLIQUE else np.diag(nib.orientations.axcodes2ornt(orientation)[:, 1])) @ spacing
    shape = (62, 74, 46)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = landmarks.mean(axis=0) - linear @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def positions_mm(grid: Grid) -> np.ndarray:
    """Centre of every voxel, RAS+ mm, shape (X, Y, Z, 3)."""
    return np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def draw_blobs(grid: Grid, landmarks: np.ndarray) -> Volume:
    """Return a volume with a Gaussian blob (6 mm) about each landmark."""
    positions = positions_mm(grid)
    squared = [((positions - landmark) ** 2).sum(axis=-1) for landmark in landmarks]
    return Volume(sum(np.exp(-s / (2 * 6**2)) for s in squared).astype(np.float32), grid.affine)


def centroids_mm(volume: Volume, landmarks: np.ndarray) -> np.ndarray:
    """Centre of mass of the bright voxels within 18 mm of each landmark, RAS+ mm, shape (N, 3)."""
    positions = positions_mm(volume.grid)
    centroids = []
    for landmark in landmarks:
        near = (np.linalg.norm(positions - landmark, axis=-1) < 18) & (volume.data > 0.1)
        centroids.append(np.average(positions[near], axis=0, weights=volume.data[near]))
    return np.array(centroids)


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, OBLIQUE])
def test_resample_round_trip_displaces_less_than_half_a_voxel(orientation, landmarks):
    grid = native_grid(orientation, landmarks)
    moving2fixed = rigid((6, -4, 9), (4, -3, 2))
    native = draw_blobs(grid, landmarks)
    standard = resample(native, standard_grid(4), moving2fixed)
    back = resample(standard, grid, np.linalg.inv(moving2fixed), antialias=False)

    displacement_mm = centroids_mm(back, landmarks) - centroids_mm(native, landmarks)
    displacement_voxels = displacement_mm @ np.linalg.inv(grid.affine[:3, :3]).T
    assert np.abs(displacement_voxels).max() < 0.2
    # The way there is checked by itself: two wrong directions must not cancel.
    expected = landmarks @ moving2fixed[:3, :3].T + moving2fixed[:3, 3]
    np.testing.assert_allclose(centroids_mm(standard, expected), expected, atol=0.5)


# Name to voxel widths in mm, extents and voxel axes; each holds one landmark.
WIDTHS = {
    "1 x 1 x 3 mm": ((1.0, 1.0, 3.0), (60, 60, 20), "LPS"),
    "0.5 mm": ((0.5, 0.5, 0.5), (80, 80, 80), "RAS"),
    "3 mm": ((3.0, 3.0, 3.0), (20, 20, 20), "LAS"),
    "negative determinant": ((2.0, 2.5, 4.0), (30, 24, 15), "PLS"),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_there_and_back_from_voxels_of_any_width_displaces_less_than_half_a_voxel(name, landmarks):
    widths_mm, shape, axes = WIDTHS[name]
    directions = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), shape)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions @ np.diag(widths_mm)
    affine[:3, 3] = landmarks[0] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    assert (np.linalg.det(affine) < 0) == (name in ("3 mm", "negative determinant"))
    grid, moving2fixed = Grid(shape, affine), rigid((6, -4, 9), (4, -3, 2))
    native = draw_blobs(grid, landmarks[:1])
    standard = resample(native, standard_grid(4), moving2fixed)
    back = resample(standard, grid, np.linalg.inv(moving2fixed), antialias=False)
    displacement_mm = centroids_mm(back, landmarks[:1]) - centroids_mm(native, landmarks[:1])
    assert back.grid.same_as(grid)
    assert np.abs(displacement_mm @ np.linalg.inv(affine[:3, :3]).T).max() < 0.3


def test_resample_copies_values_exactly_through_a_reorientation(phantom):
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = phantom.data.shape[1] - 1
    turned = Grid((40, 40, 56), phantom.affine @ flip @ np.eye(4)[[0, 2, 1, 3]])
    expected = phantom.data[:, ::-1].transpose(0, 2, 1)
    np.testing.assert_array_equal(resample(phantom, turned).data, expected)


def test_resample_is_exact_for_a_linear_ramp_under_rotation():
    grid = Grid((40, 40, 40), np.eye(4))
    x, y, z = np.indices(grid.shape)
    ramp = Volume((100 + x + 2 * y - z).astype(np.float32), grid.affine)
    fixed2moving = rigid((10, 5, -8), (3, 1, 0))
    moved = resample(ramp, grid, np.linalg.inv(fixed2moving))
    points = np.einsum("ij,jxyz->ixyz", fixed2moving, np.stack([x, y, z, np.ones_like(x)]))
    inside = ((points[:3] > 8) & (points[:3] < 31)).all(axis=0)
    expected = 100 + points[0] + 2 * points[1] - points[2]
    assert inside.any()
    np.testing.assert_allclose(moved.data[inside], expected[inside], atol=1e-2)


def test_resample_smooths_away_what_a_coarse_grid_cannot_hold():
    fine = Grid((64, 64, 64), np.eye(4))
    stripes = Volume(np.broadcast_to(np.indices((64, 64, 64))[0] % 4 < 2, fine.shape).astype(np.float32), fine.affine)
    coarse = Grid((13, 13, 13), np.diag([5.0, 5.0, 5.0, 1.0]))
    inside = (slice(3, -3),) * 3
    smoothed = resample(stripes, coarse).data[inside]
    aliased = resample(stripes, coarse, antialias=False).data[inside]
    assert np.abs(smoothed - 0.5).max() < 0.06
    assert np.abs(aliased - 0.5).max() > 0.4


@pytest.mark.parametrize("order", [1, 3])
def test_onto_a_coarser_grid_it_samples_what_a_gaussian_has_smoothed(order):
    noise = np.random.default_rng(0).random((30, 31, 32)).astype(np.float32)  # up to the faces
    steps = np.array([2.3, -1.7, 1.5])
    start = np.array([0.4, 29.1, 1.2])
    affine = np.diag([*steps, 1])
    affine[:3, 3] = start
    resampled = resample(Volume(noise, np.eye(4)), Grid((12, 17, 20), affine), order=order)
    sigmas = np.sqrt(steps**2 - 1) / np.sqrt(8 * np.log(2))
    smoothed = ndimage.gaussian_filter(noise, sigmas, mode="nearest")
    expected = ndimage.affine_transform(smoothed, np.diag(steps), start, (12, 17, 20), order=order)
    np.testing.assert_allclose(resampled.data, expected, atol=2e-6)


def test_resample_keeps_a_constant_and_is_zero_outside_and_does_not_smooth_onto_a_finer_grid(phantom, grid):
    filled = phantom.with_data(np.ones_like(phantom.data))
    moved = resample(filled, phantom.grid, rigid((0, 0, 0), (50, 0, 0))).data
    assert (moved[:12] == 0).all()
    np.testing.assert_allclose(moved[14:], 1, atol=1e-5)
    ones = Volume(np.ones((80, 112, 80), np.float32), standard_grid(2).affine)
    np.testing.assert_allclose(resample(ones, grid).data, 1, atol=1e-5)
    finer, plain = (resample(phantom, standard_grid(2), antialias=antialias).data for antialias in (True, False))
    np.testing.assert_array_equal(finer, plain)
