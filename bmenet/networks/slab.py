"""The input convention of a slice network: a slice, its neighbours, and where they lie in the head.

A slice of any of the three planes keeps the order of the volume's axes: axial (X, Y), coronal (X, Z), sagittal (Y, Z).
Channels are the `context_slices` neighbours along the plane's normal, the slice itself in the middle, then its
normalised x, y and z. The position is anatomical, not relative to the plane, so one network serves all three planes.
"""

import torch
from torch import Tensor
from torch.nn import functional

PLANE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane name to the volume axis that is normal to it."""

COORDINATE_CHANNELS = 3


def input_channels(context_slices: int) -> int:
    """Return the channels of a network's input."""
    return context_slices + COORDINATE_CHANNELS


def central_slice(slab: Tensor, context_slices: int) -> Tensor:
    """Return the slice to restore, shape (B, 1, H, W), from a network's input."""
    middle = context_slices // 2
    return slab[:, middle : middle + 1]


def coordinate_channels(plane: str, first: tuple[int, int, int], size: tuple[int, int, int], shape: tuple) -> Tensor:
    """Return normalised x, y and z of a block of voxels, cut into slices of a plane, (size[0], 3, size[1], size[2]).

    Positions run from -1 to 1 between the outer faces of the grid, so the same place in the head has the same value at
    every spacing of the standard grid.

    Parameters
    ----------
    plane : str
        A key of `PLANE_AXES`.
    first, size : tuple of int, (3,)
        The block's first voxel and its extent, along the plane's normal, its height and its width.
    shape : tuple of int, (3,)
        The whole volume's extent along x, y, z.
    """
    normal = PLANE_AXES[plane]
    order = [normal, *(axis for axis in range(3) if axis != normal)]
    channels: dict[int, Tensor] = {}
    for place, axis in enumerate(order):
        voxels = torch.arange(first[place], first[place] + size[place], dtype=torch.float32)
        view = [1, 1, 1]
        view[place] = -1
        channels[axis] = ((2 * voxels + 1) / shape[axis] - 1).view(view).expand(size)
    return torch.stack([channels[axis] for axis in range(3)], dim=1)


def pad_to_multiple(slab: Tensor, multiple: int) -> Tensor:
    """Pad height and width at their ends, by zeros (background), to whole multiples."""
    height, width = slab.shape[-2:]
    return functional.pad(slab, (0, -width % multiple, 0, -height % multiple))
