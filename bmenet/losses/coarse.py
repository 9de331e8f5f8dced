"""The loss of the Coarse-net: pixels, structure, edges."""

from torch import Tensor, nn
from torch.nn import functional

from bmenet.config import CoarseConfig
from bmenet.losses.edge import edge_loss
from bmenet.losses.ssim import structural_similarity

PIXEL_LOSSES = {"mse": functional.mse_loss, "l1": functional.l1_loss}
"""Name to pixel loss: what `coarse.pixel_loss` can be."""


class CoarseLoss(nn.Module):
    """``w_pixel * |x^ - x| + w_ssim * (1 - SSIM(x^, x)) + w_edge * |G(x^) - G(x)|_1``.

    Parameters
    ----------
    config : CoarseConfig
        Gives `pixel_loss`, `pixel_weight`, `ssim_weight` and `edge_weight`.
    """

    def __init__(self, config: CoarseConfig) -> None:
        super().__init__()
        self.pixel = PIXEL_LOSSES[config.pixel_loss]
        self.weights = {"pixel": config.pixel_weight, "ssim": config.ssim_weight, "edge": config.edge_weight}

    def forward(self, restored: Tensor, clean: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its unweighted terms, ``pixel``, ``ssim`` (as 1 - SSIM) and ``edge``.

        Parameters
        ----------
        restored, clean : Tensor, shape (B, 1, H, W)
            Unit intensities.
        """
        terms = {
            "pixel": self.pixel(restored, clean),
            "ssim": 1 - structural_similarity(restored, clean),
            "edge": edge_loss(restored, clean),
        }
        total = sum((self.weights[name] * term for name, term in terms.items()), start=restored.new_zeros(()))
        return total, {name: term.detach() for name, term in terms.items()}
