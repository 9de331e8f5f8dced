"""The light Coarse-net: a residual U-Net on slabs of a few slices, sized for CPUs."""

import itertools

import torch
from monai.networks.blocks.segresnet_block import ResBlock
from torch import Tensor, nn
from torch.nn import functional

from bmenet.models.slab import central_slice, input_channels, pad_to_multiple

_LEAKY_RELU = ("LEAKYRELU", {"negative_slope": 0.1})


class ResidualUnet(nn.Module):
    """Restore the central slice of a slab: ``r = y * exp(gain) + residual``.

    The two outputs mirror the physics: a smooth multiplicative gain undoes the bias field, an additive residual
    removes noise and ghosts. The last layer starts at zero, so the untrained network is the identity.

    Blocks are pre-activation residual blocks without normalisation: normalisation costs a quarter to a half of a
    training step on a CPU, and statistics taken over a slice would tie the result to the size of the crop. The second
    convolution of every block starts at zero, which keeps norm-free training stable.

    Parameters
    ----------
    context_slices : int
        Slices in the slab, odd.
    channels : int
        Features at the finest level; they double at each coarser one.
    levels : int
        Resolutions, the finest included.
    blocks : int
        Residual blocks per level, on the way down and on the way up.
    unshuffle : int
        The finest level works at 1 / `unshuffle` of the slice's resolution (pixel-unshuffle in, pixel-shuffle out).
    """

    def __init__(self, context_slices: int, channels: int, levels: int, blocks: int, unshuffle: int) -> None:
        super().__init__()
        self.context_slices = context_slices
        self.unshuffle = unshuffle
        self.multiple = unshuffle * 2 ** (levels - 1)
        widths = [channels * 2**level for level in range(levels)]
        steps = list(itertools.pairwise(widths))
        self.head = nn.Conv2d(input_channels(context_slices) * unshuffle**2, channels, 3, padding=1)
        self.encoder = nn.ModuleList(_blocks(width, blocks) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.decoder = nn.ModuleList(_blocks(width, blocks) for width in widths[:-1])
        self.tail = nn.Conv2d(channels, 2 * unshuffle**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, slab: Tensor) -> Tensor:
        """Return the restored central slices, shape (B, 1, H, W), from slabs of shape (B, C, H, W)."""
        height, width = slab.shape[-2:]
        degraded = central_slice(slab, self.context_slices)
        features = self.head(functional.pixel_unshuffle(pad_to_multiple(slab, self.multiple), self.unshuffle))
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=False):
            features = blocks(features)
            skips.append(features)
            features = down(features)
        features = self.encoder[-1](features)
        for blocks, up, skip in reversed(list(zip(self.decoder, self.up, skips, strict=True))):
            features = blocks(skip + functional.interpolate(up(features), scale_factor=2.0))
        gain_and_residual = functional.pixel_shuffle(self.tail(features), self.unshuffle)[..., :height, :width]
        gain, residual = gain_and_residual.to(slab.dtype).chunk(2, dim=1)
        return degraded * torch.exp(gain) + residual


def _blocks(channels: int, count: int) -> nn.Sequential:
    """Return residual blocks that start as the identity."""
    blocks = [ResBlock(2, channels, norm="", act=_LEAKY_RELU) for _ in range(count)]
    for block in blocks:
        nn.init.zeros_(block.conv2.conv.weight)
    return nn.Sequential(*blocks)
