"""A group norm that ONNX Runtime computes as exactly as torch does."""

from torch import Tensor, nn


class AxisGroupNorm(nn.Module):
    """A group norm whose means are taken one axis at a time, with the weights of another.

    Sums over a whole volume at once lose digits in ONNX Runtime's CPU kernels: 2.5e-3 a layer at 160 x 224 x 160,
    against 1e-6 so.

    Parameters
    ----------
    norm : GroupNorm
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, ...)."""
        shape = features.shape
        grouped = features.reshape(shape[0], self.groups, shape[1] // self.groups, *shape[2:])
        centred = grouped - _mean(grouped)
        normed = (centred * (_mean(centred.pow(2)) + self.eps).rsqrt()).reshape(shape)
        if self.weight is None:
            return normed
        to_channels = (1, -1, *[1] * (len(shape) - 2))
        return normed * self.weight.view(to_channels) + self.bias.view(to_channels)


def use_axis_norms(network: nn.Module) -> nn.Module:
    """Replace every group norm inside `network` by an `AxisGroupNorm`; return the network."""
    for name, child in network.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(network, name, AxisGroupNorm(child))
        else:
            use_axis_norms(child)
    return network


def _mean(grouped: Tensor) -> Tensor:
    """Return the mean over all but batch and group, the last axis first."""
    for axis in range(grouped.ndim - 1, 1, -1):
        grouped = grouped.mean(dim=axis, keepdim=True)
    return grouped
