"""Subjects unlike those of the training: other contrast, wider ventricles."""

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from bmenet.imaging.volume import Volume

_CLOSER = PchipInterpolator([0, 0.2, 0.45, 0.85, 1.0], [0, 0.27, 0.58, 0.75, 1.0])
"""Unit intensity to unit intensity: grey and white matter, at about 0.5 and 0.8, come to lie half as far apart."""

_DARK = 0.45
"""Of the brain's median: cerebrospinal fluid."""

_DEPTH_MM = 18.0
_VENTRICLES_MM = ((-30.0, -50.0, -2.0), (30.0, 35.0, 32.0))
"""Two corners of a box in standard space, RAS+: beyond it lie fissures and cisterns."""

_REACH_MM = 16.0


def with_gamma(clean: Volume, gamma: float) -> Volume:
    """Raise unit intensities to a power: another weighting by T1."""
    return clean.with_data(np.clip(clean.data, 0, 1) ** np.float32(gamma))


def with_close_tissues(clean: Volume) -> Volume:
    """Bring grey and white matter closer by a smooth monotone curve: a low contrast, as of a child or a short TI."""
    return clean.with_data(_CLOSER(np.clip(clean.data, 0, 1)))


def with_wide_ventricles(clean: Volume, brain_mask: np.ndarray, widening_mm: float) -> Volume:
    """Push the walls of the lateral ventricles outwards, as age does; what lies around them gives way smoothly.

    Parameters
    ----------
    clean : Volume
        On the standard grid.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    widening_mm : float
        How far a wall moves; below 12, or tissue would fold.
    """
    spacing_mm = clean.grid.spacing_mm
    ventricles = _ventricles(clean, brain_mask)
    if not ventricles.any():
        return clean
    outside = ndimage.distance_transform_edt(~ventricles, sampling=spacing_mm)
    inside = ndimage.distance_transform_edt(ventricles, sampling=spacing_mm)
    distance_mm = ndimage.gaussian_filter((outside - inside).astype(np.float32), 2.0 / np.asarray(spacing_mm))
    pull_mm = widening_mm * np.exp(-((distance_mm / _REACH_MM) ** 2))
    slopes = np.gradient(distance_mm, *spacing_mm)
    places = np.meshgrid(*(np.arange(extent, dtype=np.float32) for extent in clean.data.shape), indexing="ij")
    # Along the axes of the array; the standard grid's are those of the world.
    origins = [place - pull_mm * slope / width for place, slope, width in zip(places, slopes, spacing_mm, strict=True)]
    return clean.with_data(np.clip(ndimage.map_coordinates(clean.data, origins, order=3, output=np.float32), 0, 1))


def _ventricles(clean: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return what is dark, deep, and where lateral ventricles lie, without specks."""
    to_index = np.linalg.inv(clean.affine)
    first, end = (np.rint(to_index[:3, :3] @ corner + to_index[:3, 3]).astype(int) for corner in _VENTRICLES_MM)
    box = tuple(slice(max(low, 0), high) for low, high in zip(first, end, strict=True))
    smooth = ndimage.gaussian_filter(clean.data, 0.7 / np.asarray(clean.grid.spacing_mm))
    deep = ndimage.distance_transform_edt(brain_mask, sampling=clean.grid.spacing_mm) > _DEPTH_MM
    found = np.zeros(clean.data.shape, bool)
    found[box] = (smooth < _DARK * np.median(clean.data[brain_mask]))[box] & deep[box]
    labels, count = ndimage.label(found)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= 0.05 * sizes.max())[labels] & found
