"""Networks rewritten for ONNX: exact group norms, products in float16, and a gradient without autograd."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from monai.networks.blocks.crossattention import CrossAttentionBlock
from monai.networks.blocks.selfattention import SABlock
from monai.networks.layers import GaussianFilter
from monai.networks.layers.convutils import gaussian_1d
from monai.networks.nets.swin_unetr import WindowAttention
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from bmenet.diffusion.guidance import local_ncc
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.norm import ChannelNorm, replace_layers

_aten = torch.ops.aten
_HALF = (nn.modules.conv._ConvNd, nn.Linear)


class AxisGroupNorm(nn.Module):
    """A group norm that takes its means one axis at a time, with the weights of another.

    Sums over a whole volume at once lose digits in ONNX Runtime's CPU kernels: 2.5e-3 a layer at 160 x 224 x 160,
    against 1e-6 one axis at a time.
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


def _mean(grouped: Tensor) -> Tensor:
    """Return the mean over all but batch and group, the last axis first."""
    for axis in range(grouped.ndim - 1, 1, -1):
        grouped = grouped.mean(dim=axis, keepdim=True)
    return grouped


def use_axis_norms(network: nn.Module) -> None:
    """Replace every group norm inside `network` by an `AxisGroupNorm`."""
    replace_layers(network, nn.GroupNorm, AxisGroupNorm)


class FixedGaussian(nn.Module):
    """A Gaussian filter of one channel in 3D, with zeros beyond the edge, whose kernels are constants."""

    kernels: Tensor

    def __init__(self, smooth: GaussianFilter) -> None:
        super().__init__()
        kernels = [gaussian_1d(sigma, smooth.truncated, smooth.approx).detach() for sigma in smooth.sigma]
        self.register_buffer("kernels", torch.stack(kernels))

    def forward(self, volume: Tensor) -> Tensor:
        """Return the smoothed volume, (B, 1, X, Y, Z)."""
        for axis, kernel in enumerate(self.kernels):
            shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
            shape[2 + axis], padding[axis] = len(kernel), len(kernel) // 2
            volume = functional.conv3d(volume, kernel.view(shape), padding=padding)
        return volume


def use_fixed_gaussians(network: nn.Module) -> None:
    """Replace every Gaussian filter inside `network` by a `FixedGaussian`."""
    replace_layers(network, GaussianFilter, FixedGaussian)


class _Cast(nn.Module):
    """A layer that computes in one number format, from inputs of any."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer, self.dtype = layer.to(dtype), dtype

    def forward(self, *inputs: Tensor | None, **named: Tensor | None) -> Tensor:
        return self.layer(*map(self._cast, inputs), **{name: self._cast(value) for name, value in named.items()})

    def _cast(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.dtype)


_FULL = (
    *(CrossAttentionBlock, SABlock, WindowAttention),
    *(nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase, AxisGroupNorm, ChannelNorm, FixedGaussian),
)


def half_precision(graph: nn.Module) -> nn.Module:
    """Return a copy whose convolutions and matrices are float16.

    Norms, attention and Gaussians, and sums with their results, stay float32: statistics and exponentials overflow in
    float16 or lose their digits.

    Raises
    ------
    TypeError
        If the network has a layer with weights of another kind, of which neither is known to be safe.
    """
    half = copy.deepcopy(graph)
    _halve(half)
    return half


def _halve(module: nn.Module) -> None:
    """Convert the layers inside a module, in place."""
    for name, child in module.named_children():
        if isinstance(child, (*_HALF, *_FULL)):
            setattr(module, name, _Cast(child, torch.float16 if isinstance(child, _HALF) else torch.float32))
        elif list(child.parameters(recurse=False)):
            raise TypeError(f"expected convolutions, linear layers, norms and attention; got {type(child).__name__}")
        else:
            _halve(child)


def guidance_graph(autoencoder: LatentAutoencoder, window: int, inputs: tuple[Tensor, ...]) -> nn.Module:
    """Return a module that computes ``d/dz NCC(base + gain D(z), r)`` without autograd.

    The backward pass of the frozen autoencoder is traced and written out in operations that ONNX has: torch's own
    decompositions, and those below for what has none. Shapes are those of `inputs`: latent z, base, gain, reference r.
    `window` is that of the local NCC, in voxels.
    """

    def gradient(latent: Tensor, base: Tensor, gain: Tensor, reference: Tensor) -> Tensor:
        def similarity(z: Tensor) -> Tensor:
            return local_ncc(base + gain * autoencoder.decode(z), reference, window)

        return torch.func.grad(similarity)(latent)

    # On tensors without content: the activations of a whole head would take 13 GiB.
    trace = make_fx(gradient, _decompositions(), tracing_mode="fake", _allow_non_fake_inputs=True)
    return trace(*inputs)


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return operation to the function that stands for it."""
    norms = (_aten.native_layer_norm, _aten.native_layer_norm_backward)
    return {
        **get_decompositions((_aten.silu_backward, _aten.leaky_relu_backward, *norms)),
        _aten.convolution_backward.default: _convolution_backward,
        _aten.upsample_nearest3d_backward.default: _upsample_nearest_backward,
        _aten.avg_pool3d_backward.default: _average_pool_backward,
        _aten.detach.default: lambda tensor: tensor,
    }


def _convolution_backward(
    incoming: Tensor,
    features: Tensor,
    weight: Tensor,
    _bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    is_transposed: bool,
    _output_padding: list[int],
    groups: int,
    _output_mask: list[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient at the input: the transposed convolution; weights are frozen and need none."""
    if is_transposed:
        raise TypeError("expected a decoder without transposed convolutions; got one that has them")
    lost = [
        features.shape[2 + axis] - (extent - 1) * step + 2 * pad - spread * (kernel - 1) - 1
        for axis, (extent, step, pad, spread, kernel) in enumerate(
            zip(incoming.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True)
        )
    ]
    back = _aten.convolution(incoming, weight, None, stride, padding, dilation, True, lost, groups)
    return back, None, None


def _upsample_nearest_backward(
    incoming: Tensor, output_size: list[int], input_size: list[int], *_scales: float | None
) -> Tensor:
    """Return the sum over the copies of every voxel."""
    batch, channels, x, y, z = input_size
    a, b, c = (out // size for out, size in zip(output_size, (x, y, z), strict=True))
    return incoming.reshape(batch, channels, x, a, y, b, z, c).sum(7).sum(5).sum(3)


def _average_pool_backward(
    incoming: Tensor, features: Tensor, kernel: list[int], stride: list[int], *_options: Any
) -> Tensor:
    """Return every window's gradient, in equal parts on its voxels."""
    batch, channels = features.shape[:2]
    share = incoming.new_full((1, 1, *kernel), 1.0 / (kernel[0] * kernel[1] * kernel[2]))
    lost = [
        features.shape[2 + axis] - (incoming.shape[2 + axis] - 1) * stride[axis] - kernel[axis] for axis in range(3)
    ]
    folded = incoming.reshape(batch * channels, 1, *incoming.shape[2:])
    back = _aten.convolution(folded, share, None, stride, [0, 0, 0], [1, 1, 1], True, lost, 1)
    return back.reshape(features.shape)
