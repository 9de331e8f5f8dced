"""How much of the restored volume enters the result, voxel by voxel: all inside, none outside, a ramp between."""

import numpy as np
from scipy import ndimage

from bmenet.imaging.grid import Grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume

FACE_RAMP_MM = 4.0
BRAIN_RAMP_MM = (1.0, 3.0)


def face_ramp(shape: tuple[int, int, int], spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Return a weight that is 0 on the outermost voxels of a grid and 1 from 4 mm inwards.

    Parameters
    ----------
    shape : tuple of int, (3,)
    spacing_mm : tuple of float, (3,)
        Voxel edges.

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        In [0, 1].
    """
    weight = np.ones(shape, dtype=np.float32)
    for axis, (extent, width) in enumerate(zip(shape, spacing_mm, strict=True)):
        index = np.arange(extent, dtype=np.float32)
        ramp = np.minimum(np.minimum(index, extent - 1 - index) * width / FACE_RAMP_MM, 1)
        np.minimum(weight, np.expand_dims(ramp, [other for other in range(3) if other != axis]), out=weight)
    return weight


def brain_ramp(distance_mm: np.ndarray) -> np.ndarray:
    """Return a weight that is 1 in the brain and to 1 mm around it, 0 from 3 mm on.

    Parameters
    ----------
    distance_mm : ndarray, shape (X, Y, Z)
        To the brain; 0 inside.

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        In [0, 1].
    """
    start, end = BRAIN_RAMP_MM
    return np.clip((end - distance_mm) / (end - start), 0, 1).astype(np.float32)


def distance_to_brain(brain_mask: Volume, grid: Grid, moving2fixed: np.ndarray) -> np.ndarray:
    """Return the distance in mm of every voxel of the standard grid to the brain, which lies in native space."""
    inside = resample(brain_mask, grid, moving2fixed, order=1).data > 0.5
    return ndimage.distance_transform_edt(~inside, sampling=grid.spacing_mm)


def left_around(weight: np.ndarray, strength: float) -> np.ndarray:
    """Return the part of a stripped scan to blend with around its brain, where there is but noise.

    Once blended, ``1 - strength`` of it is left: beyond the field of view, where nothing is restored, as well as in it.

    Parameters
    ----------
    weight : ndarray, shape (X, Y, Z)
        Of the restored volume, in [0, strength].
    strength : float
        In [0, 1].

    Returns
    -------
    ndarray, shape (X, Y, Z)
        In [0, 1].
    """
    return np.divide(1 - strength, 1 - weight, out=np.zeros_like(weight), where=weight < 1)


def blend(restored: Volume, kept: Volume, weight: Volume) -> Volume:
    """Return ``weight * restored + (1 - weight) * kept``; where the weight is 0, `kept` to the last bit."""
    return kept.with_data(kept.data + weight.data * (restored.data - kept.data))
