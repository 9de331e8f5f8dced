"""The loss of the denoiser and its ControlNet: mean squares, weighed by where the edges are."""

from torch import Tensor
from torch.nn import functional

from bmenet.losses.edge import gradient_magnitude


def edge_weights(clean: Tensor, downsampling: int, edge_weight: float) -> Tensor:
    """Return ``1 + w * G(x) / mean G(x)``, pooled to the latent grid, (B, 1, X / d, Y / d, Z / d).

    `clean` is x, (B, 1, X, Y, Z), in unit intensities; `downsampling` is d, the voxels along the edge of a latent
    voxel; a w of 0 weighs every voxel the same.
    """
    edges = functional.avg_pool3d(gradient_magnitude(clean, 3), downsampling)
    means = edges.mean(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-12)
    return 1 + edge_weight * edges / means


def weighted_square_loss(predicted: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean of ``w (predicted - target)^2``, the weights, broadcast to both, scaled to a mean of 1."""
    squares = (predicted.float() - target) ** 2
    if weights is None:
        return squares.mean()
    return (squares * (weights / weights.mean())).mean()
