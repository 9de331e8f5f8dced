"""The brain of a skull-stripped volume: its mask from the zero background, the box around it, its ventricles."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError

SHOWN_MARGIN_MM = 4.0
"""A whole head is shown to the network with this much around its brain: fluid and meninges, not yet the scalp."""

_THRESHOLD = 0.04
_MARGIN_VOXELS = 2

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


def foreground_mask(data: np.ndarray) -> np.ndarray:
    """Return the foreground of a clean, skull-stripped unit volume: its largest component, holes filled.

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
    """Return where a restored, skull-stripped unit volume with little noise is empty: beyond 2 voxels of any tissue.

    Tissue is what is brighter than 0.04 in more than a speck; every piece counts, so that neither a vessel nor what a
    brain extraction left of the neck is lost.
    """
    cores = ndimage.binary_erosion(data > _THRESHOLD, border_value=1)
    return ~ndimage.binary_fill_holes(ndimage.binary_dilation(cores, iterations=1 + _MARGIN_VOXELS))


def bounding_box(inside: np.ndarray, margin_voxels: int | Sequence[int] = 0) -> tuple[slice, ...]:
    """Return the smallest box around a mask, one slice an axis, grown on each side by a margin where there is room.

    The margin is one for all axes, or one by axis.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    boxes = ndimage.find_objects(inside.astype(np.uint8))
    if not boxes:
        raise ValueError("expected a mask that is True somewhere; got an empty one")
    margins = np.broadcast_to(margin_voxels, inside.ndim).tolist()
    return tuple(
        slice(max(span.start - margin, 0), min(span.stop + margin, extent))
        for span, margin, extent in zip(boxes[0], margins, inside.shape, strict=True)
    )


def estimate_ventricles_ml(clean: Volume, brain_mask: np.ndarray) -> float:
    """Return the volume in millilitres of what is dark, deep, and where lateral ventricles lie.

    An estimate: good enough to tell narrow from wide ventricles, no replacement for a segmentation. Coarse voxels
    miss what is thin: the template has 14 ml at 1 mm, 10 at 2 mm, 3 at 4 mm.

    Parameters
    ----------
    clean : Volume
        Skull-stripped, on the standard grid, of any intensity scale.
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
