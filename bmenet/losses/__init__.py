"""Training losses."""

from bmenet.losses.coarse import PIXEL_LOSSES, CoarseLoss
from bmenet.losses.edge import edge_loss, gradient_magnitude
from bmenet.losses.ssim import structural_similarity

__all__ = ["PIXEL_LOSSES", "CoarseLoss", "edge_loss", "gradient_magnitude", "structural_similarity"]
