"""The loss of the autoencoders: L1, edges, structure, and the KL divergence of the latent."""

import torch
from torch import Tensor
from torch.nn import functional

from bmenet.config import AutoencoderConfig
from bmenet.losses.edge import edge_loss
from bmenet.losses.ssim import structural_similarity
from bmenet.losses.terms import Terms, weighted_sum


class ReconstructionLoss:
    """``w_l1 |x^ - x| + w_grad |G(x^) - G(x)| + w_ssim (1 - SSIM) + w_kl KL(q(z | x) || N(0, 1))``.

    The KL term is the sum over a volume's latent divided by its voxels, so that its weight does not depend on the crop.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        self.weights = {
            "l1": config.l1_weight,
            "gradient": config.gradient_weight,
            "ssim": config.ssim_weight,
            "kl": config.kl_weight,
        }

    def __call__(self, restored: Tensor, clean: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Terms]:
        """Return the weighted sum and its unweighted terms.

        Volumes have the shape (B, 1, X, Y, Z), mean and std of q(z | x) the shape (B, C, x, y, z).
        """
        divergence = 0.5 * (mean**2 + std**2 - 1 - 2 * torch.log(std)).sum() / clean.numel()
        # Axial slices as a batch: the structural term is two-dimensional, as in the first stage.
        slices = [volume.movedim(-1, 1).flatten(0, 1) for volume in (restored, clean)]
        terms = {
            "l1": functional.l1_loss(restored, clean),
            "gradient": edge_loss(restored, clean, spatial_dims=3),
            "ssim": 1 - structural_similarity(*slices),
            "kl": divergence,
        }
        return weighted_sum(terms, self.weights)
