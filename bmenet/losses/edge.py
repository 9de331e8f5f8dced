"""Edges: the magnitude of the spatial gradient, and how far two images differ in it."""

import torch
from torch import Tensor

_SMOOTHING = 1e-6


def gradient_magnitude(tensor: Tensor, spatial_dims: int) -> Tensor:
    """Return G(x), the magnitude of the spatial gradient, by central differences in voxel units.

    ``sqrt(sum of squares + 1e-6) - 1e-3``: zero where the image is flat, and smooth there, so that its own gradient
    stays finite. Borders are extended by their last value. Of the axes (B, C, *spatial) `spatial_dims` are spatial, 2
    or 3.
    """
    if spatial_dims not in (2, 3) or tensor.ndim != spatial_dims + 2:
        raise ValueError(
            f"expected `spatial_dims` 2 or 3 and a tensor (B, C, *spatial); got {spatial_dims},"
            f" shape {tuple(tensor.shape)}"
        )
    squares = torch.full_like(tensor, _SMOOTHING)
    for axis in range(2, tensor.ndim):
        extent = tensor.shape[axis]
        first, last = tensor.narrow(axis, 0, 1), tensor.narrow(axis, extent - 1, 1)
        extended = torch.cat([first, tensor, last], dim=axis)
        squares = squares + ((extended.narrow(axis, 2, extent) - extended.narrow(axis, 0, extent)) / 2) ** 2
    return squares.sqrt() - _SMOOTHING**0.5


def edge_loss(restored: Tensor, clean: Tensor, spatial_dims: int = 2) -> Tensor:
    """Return ``mean |G(restored) - G(clean)|``: edges where the clean image has them, and nowhere else."""
    return (gradient_magnitude(restored, spatial_dims) - gradient_magnitude(clean, spatial_dims)).abs().mean()
