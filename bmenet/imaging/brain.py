"""The brain of a skull-stripped volume, from its own zero background."""

import numpy as np
from scipy import ndimage

from bmenet.runtime.errors import VolumeError

_THRESHOLD = 0.04

_MARGIN_VOXELS = 2

SHOWN_MARGIN_MM = 4.0
"""A whole head is shown to the network with this much around its brain: fluid and meninges, not yet the scalp."""


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


def background_mask(data: np.ndarray) -> np.ndarray:
    """Return where a restored, skull-stripped unit volume holds nothing: beyond two voxels of any tissue.

    Tissue is what is brighter than 0.04 in more than a speck; every piece counts, so that neither a vessel nor what a
    brain extraction left of the neck is lost.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
        Unit intensities with little noise.

    Returns
    -------
    ndarray of bool, shape (X, Y, Z)
    """
    cores = ndimage.binary_erosion(data > _THRESHOLD, border_value=1)
    return ~ndimage.binary_fill_holes(ndimage.binary_dilation(cores, iterations=1 + _MARGIN_VOXELS))
