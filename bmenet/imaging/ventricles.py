"""The volume of the lateral ventricles, estimated from a clean volume on the standard grid and its brain."""

import numpy as np
from scipy import ndimage

from bmenet.imaging.volume import Volume

_DARK = 0.5
"""Of the brain's median: on T1w images cerebrospinal fluid is darker."""

_DEPTH_MM = 18.0
"""From the surface of the brain: sulci are dark too, but shallow."""

_CLOSED_MM = 3.0
"""Openings of the brain's surface that are closed first, so that depth is counted from the hull."""

_DEPTH_GRID_MM = 2
"""Voxels for the depth, which is a coarse property."""

_BOX_MM = ((-32.0, 32.0), (-55.0, 35.0), (0.0, 32.0))
"""Where the lateral ventricles lie in standard space, RAS+: leaves out cisterns and fissures."""


def estimate_ventricles_ml(clean: Volume, brain_mask: np.ndarray) -> float:
    """Return the volume in millilitres of what is dark, deep, and where lateral ventricles lie.

    An estimate: good enough to tell narrow from wide ventricles, no replacement for a segmentation. Coarse voxels
    miss what is thin: the template has 14 ml at 1 mm, 10 at 2 mm, 3 at 4 mm.

    Parameters
    ----------
    clean : Volume
        On the standard grid, of any intensity scale, head or brain.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    """
    spacing_mm = clean.grid.spacing_mm[0]
    stride = max(1, round(_DEPTH_GRID_MM / spacing_mm))
    closing = max(1, round(_CLOSED_MM / (stride * spacing_mm)))
    closed = ndimage.binary_closing(brain_mask[::stride, ::stride, ::stride], iterations=closing)
    depth_mm = ndimage.distance_transform_edt(ndimage.binary_fill_holes(closed), sampling=stride * spacing_mm)

    first, end = np.round((np.array(_BOX_MM).T - clean.affine[:3, 3]) / spacing_mm).astype(int)
    box = tuple(slice(low, high) for low, high in zip(first, end, strict=True))
    dark = first + np.argwhere(clean.data[box] < _DARK * np.median(clean.data[brain_mask]))
    is_deep = depth_mm[tuple((dark // stride).T)] > _DEPTH_MM
    return float(np.count_nonzero(is_deep)) * spacing_mm**3 / 1000
