"""The brain of a skull-stripped volume: its mask from the zero background, and the box around it."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bmenet.runtime.errors import VolumeError

SHOWN_MARGIN_MM = 4.0
"""A whole head is shown to the network with this much around its brain: fluid and meninges, not yet the scalp."""

_THRESHOLD = 0.04
_MARGIN_VOXELS = 2


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
