"""The progressive constraint's gradient as a graph of its own: no runtime but torch differentiates by itself."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from bmenet.diffusion.guidance import local_ncc
from bmenet.networks.autoencoder import LatentAutoencoder

_aten = torch.ops.aten


def guidance_graph(autoencoder: LatentAutoencoder, window: int, inputs: tuple[Tensor, ...]) -> nn.Module:
    """Return a module that computes ``d/dz NCC(base + gain D(z), r)`` without autograd.

    The backward pass is traced and written out in operations that ONNX has: torch's own decompositions, and those
    below for what has none. Shapes are those of the inputs.

    Parameters
    ----------
    autoencoder : LatentAutoencoder
        Frozen.
    window : int
        Of the local NCC, voxels.
    inputs : tuple of Tensor
        Latent z, base, gain, reference r.
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
    standard = (
        _aten.silu_backward,
        _aten.leaky_relu_backward,
        _aten.native_layer_norm,
        _aten.native_layer_norm_backward,
    )
    return {
        **get_decompositions(standard),
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
    """Return what every window hands back to its voxels in equal parts."""
    batch, channels = features.shape[:2]
    share = incoming.new_full((1, 1, *kernel), 1.0 / (kernel[0] * kernel[1] * kernel[2]))
    lost = [
        features.shape[2 + axis] - (incoming.shape[2 + axis] - 1) * stride[axis] - kernel[axis] for axis in range(3)
    ]
    folded = incoming.reshape(batch * channels, 1, *incoming.shape[2:])
    back = _aten.convolution(folded, share, None, stride, [0, 0, 0], [1, 1, 1], True, lost, 1)
    return back.reshape(features.shape)
