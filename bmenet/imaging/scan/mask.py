"""A brain mask from a file, on the grid of the scan that it belongs to."""

from pathlib import Path

import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.imaging.scan.geometry import read_geometry
from bmenet.imaging.scan.nifti import read_nifti
from bmenet.runtime.errors import GridMismatchError, VolumeError


def load_brain_mask(path: Path | str, grid: Grid) -> np.ndarray:
    """Load a brain mask; read as carefully as a scan.

    Parameters
    ----------
    path : Path or str
        A NIfTI file, positive inside the brain.
    grid : Grid
        Where it must lie.

    Returns
    -------
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Raises
    ------
    VolumeError
        If the file is not one readable 3D NIfTI volume.
    GridMismatchError
        If it lies on another grid.
    """
    path = Path(path)
    try:
        header, counts = read_nifti(path)
        _, affine, _ = read_geometry(header.nifti, header.shape, path)
    except VolumeError as error:
        raise VolumeError(f"expected a brain mask as NIfTI; {error}") from error
    counts = counts.reshape(header.shape[:3])
    if not Grid(counts.shape, affine).same_as(grid):
        raise GridMismatchError(
            f"{path}: expected the clean scan's grid, shape {grid.shape}; got shape {counts.shape} or another affine"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return counts * header.slope + header.intercept > 0
