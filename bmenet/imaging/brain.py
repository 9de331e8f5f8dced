"""Where there is tissue in a clean volume: the foreground of a stripped brain, the head, and the box around a mask."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bmenet.runtime.errors import VolumeError

_THRESHOLD = 0.04
_MARGIN_VOXELS = 2

_HEAD_THRESHOLD = 0.08
_HEAD_SMOOTHING_MM = 1.5
_HEAD_SHARE = 0.36


def foreground_mask(data: np.ndarray) -> np.ndarray:
    """Return the foreground of a clean, skull-stripped unit volume: its largest component, holes filled.

    Raises
    ------
    VolumeError
        If nothing is brighter than 0.04.
    """
    inside = data > _THRESHOLD
    if not inside.any():
        raise VolumeError(f"expected a unit volume with a brain; got none above {_THRESHOLD} (maximum {data.max():g})")
    return largest_component(inside)


def largest_component(inside: np.ndarray) -> np.ndarray:
    """Return the largest component of a mask that is True somewhere, its holes filled."""
    components, _ = ndimage.label(inside)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(components == sizes.argmax())


def head_mask(data: np.ndarray, spacing_mm: float | Sequence[float]) -> np.ndarray:
    """Return the head of a clean unit volume, or the brain where that is all: one component, its holes filled.

    The air of a real scan has a noise of its own, up to 0.04: what is smoothed and brighter than 0.08 is head. A
    head goes on below the grid, so holes are filled in every slice too.

    Raises
    ------
    VolumeError
        If nothing is brighter than 0.08.
    """
    smooth = ndimage.gaussian_filter(data, _HEAD_SMOOTHING_MM / np.asarray(spacing_mm))
    if not (smooth > _HEAD_THRESHOLD).any():
        raise VolumeError(f"expected a unit volume with a head; got none above {_HEAD_THRESHOLD}")
    inside = largest_component(smooth > _HEAD_THRESHOLD)
    for axis in range(3):
        for slab in np.moveaxis(inside, axis, 0):
            slab[:] = ndimage.binary_fill_holes(slab)
    return inside


def holds_head(data: np.ndarray) -> bool:
    """Tell whether a volume with little noise on the standard grid, unit intensities, holds a whole head.

    A brain of 1.1 to 1.7 litres fills 20 to 30 % of that grid; heads fill 45 to 60 %.
    """
    return bool(np.mean(data > _HEAD_THRESHOLD) > _HEAD_SHARE)


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
