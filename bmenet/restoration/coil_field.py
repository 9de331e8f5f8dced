"""The coil's field between two versions of a scan: what smooth factor makes one as bright as the other."""

import numpy as np
from scipy import ndimage

_WIDTH_MM = 6.0


def smooth_ratio(bright: np.ndarray, data: np.ndarray, brain_mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return what to multiply `data` with to be as bright as `bright`, by least squares in a Gaussian window of 6 mm.

    Parameters
    ----------
    bright, data : ndarray, shape (X, Y, Z), float32
    brain_mask : ndarray of bool, shape (X, Y, Z)
        Where both count.
    spacing_mm : float

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        0 far from the brain.
    """
    width = _WIDTH_MM / spacing_mm
    above = ndimage.gaussian_filter(np.where(brain_mask, bright * data, 0), width)
    below = ndimage.gaussian_filter(np.where(brain_mask, data**2, 0), width)
    return above / np.maximum(below, np.finfo(np.float32).tiny)


def own_field(restored: np.ndarray, scan: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return what to multiply a restored volume with to give it back the field that its scan came with.

    Whether the field of a scan was there from the first, as every scanner leaves one, or is a degradation cannot be
    told from the scan. Whoever knows that nothing but the scanner's own is in it wants it kept.

    Parameters
    ----------
    restored, scan : ndarray, shape (X, Y, Z), float32
        Of one intensity scale; `restored` is zero in the background of the brain.
    spacing_mm : float

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        1 in the background.
    """
    brain_mask = restored > 0
    return np.where(brain_mask, smooth_ratio(scan, restored, brain_mask, spacing_mm), np.float32(1))
