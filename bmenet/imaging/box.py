"""The box around a mask, so that work on a brain leaves the empty rest of its grid alone."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def bounding_box(inside: np.ndarray, margin_voxels: int | Sequence[int] = 0) -> tuple[slice, ...]:
    """Return the smallest box around a mask, grown by a margin where the grid has room, as one slice an axis.

    Parameters
    ----------
    inside : ndarray of bool
        True somewhere.
    margin_voxels : int or sequence of int
        On each side, of all axes or by axis.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    boxes = ndimage.find_objects(inside.astype(np.uint8))
    if not boxes:
        raise ValueError("expected a mask that is True somewhere; got an empty one")
    return tuple(
        slice(max(span.start - margin, 0), min(span.stop + margin, extent))
        for span, margin, extent in zip(
            boxes[0], np.broadcast_to(margin_voxels, inside.ndim).tolist(), inside.shape, strict=True
        )
    )
