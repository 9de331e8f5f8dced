"""Covariates as numbers in [0, 1]: sex, age, ventricular and brain volume; and the network that estimates them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from monai.networks.nets import resnet18
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config import CovariatesConfig, Range
from bmenet.networks.norm import replace_layers

COVARIATES = ("sex", "age", "ventricles", "brain")
"""Their order in every vector; that of BrainLDM."""

RANGES = ("age_years", "ventricles_ml", "brain_ml")
"""Keys of the section `covariates` that say what goes to [0, 1]."""

UNKNOWN = 0.5
"""Value of a covariate that is not known: the middle of its range."""

_NORM_GROUPS = 8


class ScaledCovariates(NamedTuple):
    """Covariates of one subject, (4,), float32, in [0, 1], in the order of `COVARIATES`; `UNKNOWN` if not known."""

    values: np.ndarray
    is_known: np.ndarray


def scale_covariates(
    config: CovariatesConfig,
    *,
    sex: str | None = None,
    age: float | None = None,
    ventricles_ml: float | None = None,
    brain_ml: float | None = None,
) -> ScaledCovariates:
    """Scale the known covariates of a subject by the ranges of `config`; values beyond a range are clipped to its end.

    Sex is 0 for F and 1 for M, as in BrainLDM; age is in years, volumes are in millilitres.
    """
    spans = (getattr(config, key) for key in RANGES)
    scaled = (_scale(value, span) for value, span in zip((age, ventricles_ml, brain_ml), spans, strict=True))
    values = [None if sex is None else float(sex == "M"), *scaled]
    known = np.array([value is not None for value in values])
    filled = np.array([UNKNOWN if value is None else value for value in values], dtype=np.float32)
    return ScaledCovariates(filled, known)


def _scale(value: float | None, span: Range) -> float | None:
    """Map a range to [0, 1]."""
    return None if value is None else float(np.clip((value - span.low) / (span.high - span.low), 0, 1))


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
