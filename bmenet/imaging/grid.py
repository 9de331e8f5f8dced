"""The standard grid: 160 x 224 x 160 mm in MNI152 coordinates, RAS+, at 1, 2 or 4 mm (BrainLDM's field of view)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW_MM = (160, 224, 160)
ORIGIN_MM = (-80.0, -130.0, -72.0)
SPACE_NAME = "brainldm"
SPACINGS_MM = (1, 2, 4)
_TOLERANCE_MM = 0.05


@dataclass(frozen=True)
class Grid:
    """A voxel grid: so many voxels along x, y, z, and the matrix, shape (4, 4), from a voxel's index to RAS+ mm."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel edge lengths in mm, along the voxel axes."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    def same_as(self, other: "Grid") -> bool:
        """Tell whether both grids have the same shape and, within 0.001 mm, the same affine."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=1e-3))


def standard_grid(spacing_mm: int) -> Grid:
    """Return the standard grid at `spacing_mm` (1, 2 or 4).

    Every spacing covers the same field of view: the outer faces of the corner voxels coincide, so the centre of
    voxel (0, 0, 0) lies at the 1 mm origin (-80, -130, -72) plus (spacing - 1) / 2 mm.
    """
    if spacing_mm not in SPACINGS_MM:
        raise ValueError(f"`spacing_mm`: expected 1, 2 or 4; got {spacing_mm!r}")
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = np.asarray(ORIGIN_MM) + (spacing_mm - 1) / 2
    x, y, z = (extent // spacing_mm for extent in FIELD_OF_VIEW_MM)
    return Grid((x, y, z), affine)


def acquired_mm(voxel_mm: Sequence[float], spacing_mm: int) -> int:
    """Return the spacing of the standard grid that shows a scan of these voxels as it was acquired.

    Noise and motion are as fine as the scanner's voxels; on a finer grid they would be finer than anything in the scan.
    It is `spacing_mm`, that of the grid in use, or the largest multiple of it that its longest voxel edge covers.
    """
    return max(s for s in SPACINGS_MM if s == spacing_mm or spacing_mm < s <= max(voxel_mm) + _TOLERANCE_MM)
