"""The air around a head: where only noise and ghosts are."""

import numpy as np
from scipy import ndimage

from bmenet.imaging.volume import Volume

_HEAD_LEVEL = 0.2
_AIR_PERCENTILE = 1
_SMOOTHING_MM = 3.0
_MARGIN_MM = 10.0


def find_air(volume: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return the air beside and above the brain of a whole head, blank or not.

    The head is the largest piece brighter than the air by a fifth of the way to the brain's median, after smoothing
    over 3 mm to either side, holes filled. Air begins 10 mm from it, and at the height of the brain's centre: below,
    the face, the neck and what flows through it leave no clean air. (MRIQC cuts at the plane from the bridge of the
    nose to the back of the skull, which lies a little lower.)

    Parameters
    ----------
    volume : Volume
        A whole head, not below 0, of any intensity scale and orientation.
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
    """
    widths_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    smooth = ndimage.uniform_filter(volume.data, 2 * np.rint(_SMOOTHING_MM / widths_mm).astype(int) + 1)
    filled = ~find_blank(volume.data)
    air_level = np.percentile(smooth[filled], _AIR_PERCENTILE)
    bright = smooth > air_level + _HEAD_LEVEL * (np.median(volume.data[brain_mask]) - air_level)
    components, _ = ndimage.label(bright | brain_mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    head = ndimage.binary_fill_holes(components == sizes.argmax())
    distance_mm = ndimage.distance_transform_edt(~head, sampling=widths_mm)
    heights = _heights_mm(volume)
    return (distance_mm > _MARGIN_MM) & (heights > heights[brain_mask].mean())


def find_blank(data: np.ndarray) -> np.ndarray:
    """Return where a file holds zeros for want of a measurement: padding, a removed face, a masked background.

    A zero of the noise itself, frequent in scans stored as integers, does not fill 3 x 3 x 3 voxels.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
        Not below 0.

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
    """
    return ndimage.binary_opening(np.pad(data == 0, 1, constant_values=True), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]


def _heights_mm(volume: Volume) -> np.ndarray:
    """Return the distance upwards of every voxel, mm, from where the affine has its origin."""
    x, y, z = (np.arange(extent) * step for extent, step in zip(volume.data.shape, volume.affine[2, :3], strict=True))
    return x[:, None, None] + y[None, :, None] + z[None, None, :] + volume.affine[2, 3]
