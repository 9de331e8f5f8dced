"""The loss of the Coarse-net: pixels, structure, edges."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bmenet.config import CoarseConfig
from bmenet.losses.edge import edge_loss
from bmenet.losses.ssim import structural_similarity
from bmenet.losses.terms import Terms, weighted_sum

_NEGATIVE_SLOPE = 0.05
"""How much of a negative result the loss sees: inference clamps at zero, and the background is exactly zero.

SSIM is so steep there (an error of 0.01 costs half of it) that without this its gradient drowns all else: after 200
steps the loss was still that of the degraded slice, and training then diverged. Measured: half the loss with it.
"""

_NOISE_FLOOR = 2e-5
"""Mean squared error, of a PSNR of 47 dB, below which better is hardly better to `log_mse`."""


def log_mse(restored: Tensor, clean: Tensor) -> Tensor:
    """Return the mean over samples of the decadic logarithm of their mean squared error: PSNR, turned over.

    A decibel counts the same for a slice that is nearly clean and for one that is ruined; an absolute error teaches
    the network the ruined ones, and it does harm to the others. After Chen et al. (2022), "Simple baselines for image
    restoration", doi:10.1007/978-3-031-20071-7_2.
    """
    return torch.log10((restored - clean).square().flatten(1).mean(dim=1) + _NOISE_FLOOR).mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "log_mse": log_mse,
}
"""Name to pixel loss: what `coarse.pixel_loss` can be."""


class CoarseLoss:
    """``w_pixel * |x^ - x| + w_ssim * (1 - SSIM(x^, x)) + w_edge * |G(x^) - G(x)|_1``.

    Negative values of x^ count little: see `_NEGATIVE_SLOPE`.
    """

    def __init__(self, config: CoarseConfig) -> None:
        self.pixel = PIXEL_LOSSES[config.pixel_loss]
        self.weights = {"pixel": config.pixel_weight, "ssim": config.ssim_weight, "edge": config.edge_weight}

    def __call__(self, restored: Tensor, clean: Tensor) -> tuple[Tensor, Terms]:
        """Return the weighted sum and its unweighted terms, ``pixel``, ``ssim`` (as 1 - SSIM) and ``edge``.

        Both images have the shape (B, 1, H, W) and unit intensities.
        """
        restored = functional.leaky_relu(restored, _NEGATIVE_SLOPE)
        terms = {
            "pixel": self.pixel(restored, clean),
            "ssim": 1 - structural_similarity(restored, clean),
            "edge": edge_loss(restored, clean),
        }
        return weighted_sum(terms, self.weights)
