"""The brain of a skull-stripped volume, from its own zero background."""

import numpy as np
from scipy import ndimage

from bmenet.errors import VolumeError

_THRESHOLD = 0.04


def foreground_mask(data: np.ndarray) -> np.ndarray:
    """Return the foreground of a clean, skull-stripped unit volume: its largest component, holes filled.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
        Clean unit intensities, [0, 1]; the background is zero.

    Returns
    -------
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Raises
    ------
    VolumeError
        If nothing is brighter than 0.04.
    """
    components, count = ndimage.label(data > _THRESHOLD)
    if count == 0:
        raise VolumeError(f"expected a unit volume with a brain; got none above {_THRESHOLD} (maximum {data.max():g})")
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(components == sizes.argmax())
