"""Move a volume to another grid through a rigid transform: one cubic interpolation, smoothed first when it coarsens."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bmenet.imaging.grid import Grid
from bmenet.imaging.volume import UNIT_STEP, Volume

_SPLINE_REACH = 12
"""Voxels after which the cubic spline prefilter (pole -0.268) has decayed below 1e-6."""

_BEYOND = "nearest"
"""Beyond the field of view the head goes on when it is smoothed: zeros there would darken its edge."""

_FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))


def resample(
    volume: Volume, grid: Grid, moving2fixed: np.ndarray | None = None, *, order: int = 3, antialias: bool = True
) -> Volume:
    """Sample `volume` on `grid` after moving it by a rigid transform; zero outside the volume's field of view.

    Cubic B-splines overshoot at edges by a few per cent of the step: clip where intensities must not be negative.
    When every sample falls on a voxel centre (same grid, a flip, a permutation of axes) the values are copied exactly.

    Parameters
    ----------
    volume, grid
        What is sampled, and where the result lies, in the fixed space.
    moving2fixed : ndarray, shape (4, 4), optional
        RAS+ mm of `volume` to RAS+ mm of `grid`; by default the identity.
    order : int
        Of the spline: 0 nearest, 1 linear, 3 cubic.
    antialias : bool
        Along axes where `grid` is coarser than `volume`, first smooth by a Gaussian whose FWHM makes up the difference
        of the voxel edges in quadrature: ``fwhm² = coarse² - fine²``. Leave it out on the way back to the
        grid that the data came from, which has no finer detail to alias.
    """
    fixed2moving = np.eye(4) if moving2fixed is None else np.linalg.inv(moving2fixed)
    index_map = np.linalg.inv(volume.affine) @ fixed2moving @ grid.affine  # grid index -> volume index
    data, start = _content(volume.data)
    if data.size == 0:
        return Volume(np.zeros(grid.shape, np.float32), grid.affine)
    sigmas = _sigmas(np.linalg.norm(index_map[:3, :3], axis=1)) if antialias and order > 0 else np.zeros(3)
    index_map[:3, 3] -= start
    if np.allclose(index_map, np.rint(index_map), atol=1e-5):
        index_map, order = np.rint(index_map), 0
    matrix, offset = index_map[:3, :3], index_map[:3, 3]
    if order > 0 and np.allclose(matrix, np.diag(np.diag(matrix)), rtol=0, atol=1e-12):
        return Volume(sample_along_axes(data, np.diag(matrix), offset, grid.shape, order, sigmas), grid.affine)
    if sigmas.any():
        data = ndimage.gaussian_filter(data, sigmas, mode=_BEYOND)
    sampled = ndimage.affine_transform(
        data, matrix, offset, output_shape=grid.shape, output=np.float32, order=order, mode="constant", cval=0.0
    )
    return Volume(sampled, grid.affine)


def continued(volume: Volume, margin_mm: float) -> Volume:
    """Return a volume that goes on beyond its faces for `margin_mm` as it is there.

    An interpolation between a face and nothing would darken what lies on the face, and its spline would ring there.
    """
    counts = [int(np.ceil(margin_mm / width)) for width in volume.grid.spacing_mm]
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ counts
    return Volume(np.pad(volume.data, [(count, count) for count in counts], mode="edge"), affine)


def sample_along_axes(
    data: np.ndarray,
    steps: np.ndarray,
    offset: np.ndarray,
    shape: tuple[int, ...],
    order: int = 3,
    sigmas: Sequence[float] | np.ndarray = (0, 0, 0),
) -> np.ndarray:
    """Sample a volume at ``offset + steps * index`` voxels, one axis after the other: ten times as quick as at once.

    The same spline as of `scipy.ndimage.affine_transform` with a diagonal matrix, after a Gaussian of `sigmas` voxels,
    as one matrix for each axis; float32.
    """
    sampled = np.asarray(data, dtype=np.float32)
    for axis, (step, first, extent, sigma) in enumerate(zip(steps, offset, shape, sigmas, strict=True)):
        units = np.eye(data.shape[axis], dtype=np.float32)
        if sigma > 0:
            units = ndimage.gaussian_filter1d(units, sigma, mode=_BEYOND)
        columns = [ndimage.affine_transform(unit, [[step]], first, (extent,), order=order) for unit in units]
        sampled = np.moveaxis(np.tensordot(np.stack(columns, axis=1), sampled, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(sampled)


def resample_unit(volume: Volume, grid: Grid) -> Volume:
    """Sample a unit volume on another standard grid: cubic, not below 0, in whole steps of the storage format."""
    if volume.grid.same_as(grid):
        return volume
    sampled = np.maximum(resample(volume, grid).data, 0)
    return Volume(np.rint(sampled / UNIT_STEP).astype(np.float32) * np.float32(UNIT_STEP), grid.affine)


def _content(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the box of non-zero voxels with room for the spline, and the index of its corner."""
    box = []
    for axis, extent in enumerate(data.shape):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(data.any(axis=others))
        if filled.size == 0:
            return data[:0, :0, :0], np.zeros(3)
        box.append(slice(max(filled[0] - _SPLINE_REACH, 0), min(filled[-1] + _SPLINE_REACH + 1, extent)))
    return data[tuple(box)], np.array([part.start for part in box], dtype=float)


def _sigmas(steps: np.ndarray) -> np.ndarray:
    """Return how far to smooth along each axis, in voxels, for samples that lie `steps` voxels apart."""
    return np.sqrt(np.maximum(steps**2 - 1, 0)) / _FWHM_PER_SIGMA
