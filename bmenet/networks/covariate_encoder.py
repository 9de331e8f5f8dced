"""The covariate encoder: sex, age and volumes from a restored volume."""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets import resnet18
from torch import Tensor, nn
from torch.nn import functional

from bmenet.networks.covariates import COVARIATES, UNKNOWN
from bmenet.networks.norm import replace_layers

_NORM_GROUPS = 8


class CovariateEncoder(nn.Module):
    """A 3D ResNet-18 from the coarse result ``r`` to the covariates ``c``, each in [0, 1].

    It looks at block averages of the volume: age, sex and volumes are coarse properties.

    Parameters
    ----------
    reduction : int
        Edge of the blocks of voxels that are averaged before the first layer.
    width : float
        Channels over those of the published ResNet-18; multiples of 1/8.
    informed : sequence of bool, (4,), optional
        Which covariates the denoiser was trained with, by default all; the others stay `UNKNOWN`.

    References
    ----------
    He et al. (2016). Deep residual learning for image recognition. doi:10.1109/CVPR.2016.90
    """

    informed: Tensor

    def __init__(self, reduction: int, width: float = 1.0, informed: Sequence[bool] | None = None) -> None:
        super().__init__()
        self.reduction = reduction
        tells = torch.tensor([True] * len(COVARIATES) if informed is None else list(informed))
        self.register_buffer("informed", tells, persistent=False)
        self.network = resnet18(spatial_dims=3, n_input_channels=1, num_classes=len(COVARIATES), widen_factor=width)
        # Batches are small and volumes few: the norm must not depend on who shares the batch. MONAI's `resnet18` hands
        # its argument `norm` to the first layer alone (1.6).
        replace_layers(self.network, nn.BatchNorm3d, lambda norm: nn.GroupNorm(_NORM_GROUPS, norm.num_features))
        # Untrained, every covariate is 0.5: unknown.
        self.network.fc = nn.Linear(self.network.in_planes, len(COVARIATES))
        for parameter in self.network.fc.parameters():
            nn.init.zeros_(parameter)

    def reduce(self, coarse: Tensor) -> Tensor:
        """Return the averages over blocks of volumes of shape (B, 1, X, Y, Z), unit intensities: what is looked at."""
        return functional.avg_pool3d(coarse, self.reduction)

    def forward(self, reduced: Tensor) -> Tensor:
        """Return covariates, shape (B, 4), from what `reduce` returned."""
        covariates = torch.sigmoid(self.network(reduced))
        return torch.where(self.informed, covariates, torch.full_like(covariates, UNKNOWN))

    def encode(self, coarse: Tensor) -> Tensor:
        """Return covariates, shape (B, 4), of volumes of shape (B, 1, X, Y, Z), unit intensities."""
        return self(self.reduce(coarse))


def covariate_encoder_from_spec(spec: dict[str, Any]) -> CovariateEncoder:
    """Build the network that a weights folder's ``model.json`` describes."""
    return CovariateEncoder(spec["reduction"], spec["width"], spec["informed"])
