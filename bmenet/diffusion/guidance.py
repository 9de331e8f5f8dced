"""The progressive constraint: each predicted clean latent is moved so that its image correlates more with ``r``."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bmenet.config.fine import GuidanceConfig

_VARIANCE_FLOOR = 1e-4
"""Of windows, on the [0, 1] scale: a flat window correlates with nothing and gets no say."""


def local_ncc(volume: Tensor, reference: Tensor, window: int) -> Tensor:
    """Return the mean local normalised cross-correlation, a scalar in [-1, 1].

    Over cubes of `window` voxels (odd), half overlapping: ``cov(a, b) / sqrt(var(a) var(b))``, each variance with a
    floor, then the mean over the windows that hold any structure in `reference`. Volumes have the shape
    (B, 1, X, Y, Z) and unit intensities.

    References
    ----------
    Avants et al. (2008). Symmetric diffeomorphic image registration with cross-correlation.
    doi:10.1016/j.media.2007.06.004
    """
    means = torch.cat([volume, reference, volume * volume, reference * reference, volume * reference], dim=1)
    for axis in range(3):  # a cube's work for the price of three lines
        kernel = [window if other == axis else 1 for other in range(3)]
        strides = [(window + 1) // 2 if other == axis else 1 for other in range(3)]
        means = functional.avg_pool3d(means, kernel, strides)
    mean_a, mean_b, square_a, square_b, cross = means.split(1, dim=1)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    correlation = (cross - mean_a * mean_b) / (
        (variance_a.clamp_min(0) + _VARIANCE_FLOOR) * (variance_b.clamp_min(0) + _VARIANCE_FLOOR)
    ).sqrt()
    has_structure = (variance_b > _VARIANCE_FLOOR).to(correlation.dtype)
    return (correlation * has_structure).sum() / has_structure.sum().clamp_min(1)


def ncc_gradient(clean_latent: Tensor, compose: Callable[[Tensor], Tensor], reference: Tensor, window: int) -> Tensor:
    """Return ``d/dz_0 NCC(x(z_0), r)``, of the shape of the latent, (B, C, X/d, Y/d, Z/d).

    `compose` is x, differentiable: it makes of a latent the volume that is to correlate, as it will be composed.
    """
    with torch.enable_grad():
        latent = clean_latent.detach().requires_grad_(True)
        similarity = local_ncc(compose(latent).float(), reference, window)
        return torch.autograd.grad(similarity, latent)[0]


class ProgressiveConstraint:
    """Move a predicted clean latent along ``+ d/dz_0 NCC(x(z_0), r)``, the further the nearer the end.

    ``z_0 <- z_0 + s(t) g / max(1, rms(g))`` with ``s(t) = scale (1 - t / start)^power`` for ``t < start``, and g the
    gradient times the number of latent voxels, so that it does not depend on the size of the grid. NCC is raised: the
    latent goes up the gradient. No step is longer than s(t), in standard deviations of the latent, and where the image
    correlates with ``r`` as well as it can there is none. `gradient` makes ``d/dz_0 NCC(x(z_0), r)``, of the shape of
    the latent, of a latent: see `ncc_gradient`.
    """

    def __init__(self, config: GuidanceConfig, gradient: Callable[[Tensor], Tensor]) -> None:
        self.config = config
        self.gradient = gradient

    def strength(self, timestep: int) -> float:
        """Return ``s(t)``."""
        if timestep >= self.config.start:
            return 0.0
        return self.config.scale * (1 - max(timestep, 0) / self.config.start) ** self.config.power

    def __call__(self, clean_latent: Tensor, timestep: int) -> Tensor:
        """Return the moved latent; the same one where the strength is zero."""
        strength = self.strength(timestep)
        if strength == 0:
            return clean_latent
        gradient = clean_latent[0, 0].numel() * self.gradient(clean_latent)
        return clean_latent + strength * gradient / gradient.square().mean().sqrt().clamp_min(1)
