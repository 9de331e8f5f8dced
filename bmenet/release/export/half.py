"""The float16 variant of a network: weights and products in half precision, norms and sums in full."""

import copy

from monai.networks.blocks.crossattention import CrossAttentionBlock
from monai.networks.blocks.selfattention import SABlock
from monai.networks.nets.swin_unetr import WindowAttention
from torch import Tensor, nn

from bmenet.networks.norm import ChannelNorm
from bmenet.release.export.norm import AxisGroupNorm

_ATTENTION = (CrossAttentionBlock, SABlock, WindowAttention)
_MULTIPLYING = (nn.modules.conv._ConvNd, nn.Linear)
_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase, AxisGroupNorm, ChannelNorm)


class _Half(nn.Module):
    """A layer in float16, whatever it is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.half()

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features.half())


class _Full(nn.Module):
    """A layer in float32, whatever it is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor, *others: Tensor, **named: Tensor) -> Tensor:
        return self.layer(*map(_float, (features, *others)), **{name: _float(value) for name, value in named.items()})


def _float(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float()


def half_precision(graph: nn.Module) -> nn.Module:
    """Return a copy whose convolutions and matrices are float16.

    Norms and attention, and whatever is summed with their results, stay float32: statistics and exponentials
    overflow in float16 or lose their digits.

    Raises
    ------
    TypeError
        If the network has a layer with weights of another kind: somebody must decide which it is to be.
    """
    half = copy.deepcopy(graph)
    _convert(half)
    return half


def _convert(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, _MULTIPLYING):
            setattr(module, name, _Half(child))
        elif isinstance(child, (*_ATTENTION, *_NORMS)):
            setattr(module, name, _Full(child))
        elif list(child.parameters(recurse=False)):
            raise TypeError(f"expected convolutions, linear layers, norms and attention; got {type(child).__name__}")
        else:
            _convert(child)
