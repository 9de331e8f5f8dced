"""The network that sees a whole head at 4 mm and tells the coil's field in it."""

from pathlib import Path

import torch
from monai.networks.layers import GaussianFilter
from monai.networks.nets import UNet
from torch import Tensor, nn

from bmenet.config import FieldConfig
from bmenet.networks.compute import autocast
from bmenet.networks.weights import Spec, config_of, load_weights

FIELD = "field"
"""The field network on disk: its spec has ``config`` (the section `field`) and ``lineage``."""

_SMOOTHING_VOXELS = 2.0
"""Standard deviation of the last filter: no field varies within a few millimetres."""

_NORM_GROUPS = 4


class FieldNet(nn.Module):
    """Tell the logarithm of the coil's field in a degraded head, from how bright every place is for what it is.

    A 3D U-Net on the standard grid of 4 mm, whose voxels also know where they are: in a head that lies as the
    template does, a place tells which tissue to expect. A last Gaussian makes the field smooth. Only differences within
    a head are told: a global gain is no inhomogeneity, and the mean of the answer means nothing.
    """

    def __init__(self, config: FieldConfig) -> None:
        super().__init__()
        self.unet = UNet(
            spatial_dims=3,
            in_channels=4,
            out_channels=config.channels[0],
            channels=config.channels,
            strides=[2] * (len(config.channels) - 1),
            num_res_units=config.res_units,
            act=("leakyrelu", {"negative_slope": 0.1}),
            norm=("group", {"num_groups": _NORM_GROUPS}),
        )
        self.tail = nn.Conv3d(config.channels[0], 1, 1)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)
        self.smooth = ExactGaussian(3, _SMOOTHING_VOXELS)

    def forward(self, head: Tensor) -> Tensor:
        """Return the log-field (B, 1, X, Y, Z) of heads of the same shape, unit intensities on the grid of 4 mm."""
        place = []
        for axis, extent in enumerate(head.shape[2:]):
            line = torch.linspace(-1, 1, extent, device=head.device, dtype=head.dtype)
            # Added to the head: a graph would hold what is made of constants alone, a megabyte.
            place.append(0 * head + line.view([-1 if other == axis else 1 for other in range(3)]))
        return self.smooth(self.tail(self.unet(torch.cat([head, *place], dim=1))).float())


class ExactGaussian(GaussianFilter):
    """A Gaussian filter in float32 whatever the network computes in: bfloat16 would put steps into a smooth field."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the smoothed volume."""
        with autocast(x.device, torch.float32):
            return super().forward(x)


def load_field(folder: Path | str) -> tuple[nn.Module, Spec]:
    """Load a field network: see `load_weights`."""
    return load_weights(folder, FIELD, lambda spec: FieldNet(config_of(spec, FieldConfig)))
