"""Every metric of one restored volume."""

import numpy as np

from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError

SMALLEST_EXTENT = 11
"""Voxels along the shortest axis: the SSIM window must fit."""


def measure(restored: Volume, clean: Volume, brain_mask: np.ndarray | None = None) -> dict[str, float]:
    """Return every metric in `METRICS`; finite numbers, always.

    Parameters
    ----------
    restored, clean : Volume
        On one grid, unit intensities (data range 1).
    brain_mask : ndarray of bool, shape (X, Y, Z), optional
        Where the ``_brain`` metrics look; by default the foreground of `clean`, which must then be skull-stripped.

    Raises
    ------
    GridMismatchError
        If the grids or the mask's shape differ.
    VolumeError
        If a value is not finite, the volume is smaller than the SSIM window, the mask is empty, or `clean` is constant
        inside it: NCC and HFEN are then undefined.
    """
    if not restored.grid.same_as(clean.grid):
        expected, got = (f"shape {v.data.shape}, voxels of {v.grid.spacing_mm} mm" for v in (clean, restored))
        raise GridMismatchError(
            f"`restored`: expected the grid of `clean` ({expected}); got another one ({got}); resample it first"
        )
    for name, data in (("restored", restored.data), ("clean", clean.data)):
        if not np.isfinite(data).all():
            raise VolumeError(f"`{name}`: expected finite intensities; got NaN or infinite ones")
    if min(clean.data.shape) < SMALLEST_EXTENT:
        raise VolumeError(f"expected at least {SMALLEST_EXTENT} voxels along each axis; got shape {clean.data.shape}")
    if brain_mask is None:
        brain_mask = foreground_mask(clean.data)
    if brain_mask.shape != clean.data.shape:
        raise GridMismatchError(f"`brain_mask`: expected shape {clean.data.shape}; got {brain_mask.shape}")
    inside = clean.data[brain_mask]
    if not inside.size:
        raise VolumeError("`brain_mask`: expected a mask with at least one voxel; got an empty one")
    if inside.min() == inside.max():
        raise VolumeError(f"`clean`: expected structure inside the brain mask; got {inside.max():g} everywhere")
    return {name: metric(restored.data, clean.data, brain_mask) for name, metric in METRICS.items()}
