"""The input convention of a slice network: a slice, its neighbours, and where they lie in the head.

A slice of any of the three planes keeps the order of the volume's axes: axial (X, Y), coronal (X, Z), sagittal (Y, Z).
Where the phase-encode axis is known it is the height, and only the two planes that contain it are cut: motion then
spreads along one and the same axis of every slice.
Channels are the `context_slices` neighbours along the plane's normal, the slice itself in the middle, then its
normalised x, y and z. The position is anatomical, not relative to the plane, so one network serves all three planes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

PLANE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane name to the volume axis that is normal to it."""

COORDINATE_CHANNELS = 3


Axes = tuple[int, int, int]
"""Axes of a volume as slices lie: the normal of the plane, height, width."""


def slice_axes(planes: Sequence[str], phase_encode_axis: int | None = None) -> list[Axes]:
    """Return the axes of the slices of each plane; with a phase-encode axis, of those planes that contain it.

    Examples
    --------
    >>> slice_axes(["axial", "sagittal"])
    [(2, 0, 1), (0, 1, 2)]
    >>> slice_axes(["axial", "sagittal", "coronal"], 1)
    [(2, 1, 0), (0, 1, 2)]
    """
    found = []
    for plane in planes:
        normal = PLANE_AXES[plane]
        height, width = (axis for axis in range(3) if axis != normal)
        if width == phase_encode_axis:
            height, width = width, height
        if phase_encode_axis in (None, height):
            found.append((normal, height, width))
    return found


def input_channels(context_slices: int) -> int:
    """Return the channels of a network's input."""
    return context_slices + COORDINATE_CHANNELS


def central_slice(slab: Tensor, context_slices: int) -> Tensor:
    """Return the slice to restore, shape (B, 1, H, W), from a network's input."""
    middle = context_slices // 2
    return slab[:, middle : middle + 1]


def coordinate_channels(axes: Axes, first: tuple[int, int, int], size: tuple[int, int, int], shape: tuple) -> Tensor:
    """Return normalised x, y and z of a block of voxels, cut into slices, (size[0], 3, size[1], size[2]).

    Positions run from -1 to 1 between the outer faces of the grid, so the same place in the head has the same value at
    every spacing of the standard grid.

    Parameters
    ----------
    axes : tuple of int, (3,)
        Of the slices: see `slice_axes`.
    first, size : tuple of int, (3,)
        The block's first voxel and its extent, along each of `axes`.
    shape : tuple of int, (3,)
        The whole volume's extent along x, y, z.
    """
    channels: dict[int, Tensor] = {}
    for place, axis in enumerate(axes):
        voxels = torch.arange(first[place], first[place] + size[place], dtype=torch.float32)
        view = [1, 1, 1]
        view[place] = -1
        channels[axis] = ((2 * voxels + 1) / shape[axis] - 1).view(view).expand(size)
    return torch.stack([channels[axis] for axis in range(3)], dim=1)


def pad_to_multiple(slab: Tensor, multiple: int) -> Tensor:
    """Pad height and width at their ends, by zeros (background), to whole multiples."""
    height, width = slab.shape[-2:]
    return functional.pad(slab, (0, -width % multiple, 0, -height % multiple))
