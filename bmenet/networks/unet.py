"""The light Coarse-net: a residual U-Net on slabs of a few slices, sized for CPUs."""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config.sections import UnetConfig
from bmenet.networks.slab import central_slice, input_channels, pad_to_multiple

_MAX_LOG_GAIN = math.log(4)
"""Largest correction of the coil field, either way; the severest preset needs a factor of about 2.5."""

_OUTPUT_SCALE = 0.1
"""Corrections are small beside the features they are made from: without it one optimiser step can overshoot them."""


class ResidualBlock(nn.Module):
    """Add two convolutions of the normalised features to the features; at the start it adds nothing.

    The norm is taken over the channels of each pixel, so the result does not depend on the size of the crop. Without
    it, training diverged within 500 steps; it costs 7 % of a step on a CPU. Shape after Chen et al. (2022), "Simple
    baselines for image restoration", doi:10.1007/978-3-031-20071-7_2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-4)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W)."""
        normed = self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return features + self.second(functional.leaky_relu(self.first(normed), 0.1))


class ResidualUnet(nn.Module):
    """Restore the central slice of a slab: ``r = y * exp(gain) + residual``.

    The two outputs mirror the physics: a smooth multiplicative gain undoes the bias field, an additive residual
    removes noise and ghosts. The gain is bounded, so that no pixel can run away in training. The last layer starts at
    zero, so the untrained network is the identity.

    Parameters
    ----------
    context_slices : int
        Slices in the slab, odd.
    config : UnetConfig
        `channels` at the finest of `levels` double at each coarser one; `blocks` on the way down and on the way up of
        each. The finest works at 1 / `unshuffle` of the slice's resolution (pixel-unshuffle in, pixel-shuffle out).
    """

    def __init__(self, context_slices: int, config: UnetConfig) -> None:
        super().__init__()
        channels, levels, blocks, unshuffle = config.channels, config.levels, config.blocks, config.unshuffle
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
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)

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
        gain, residual = (_OUTPUT_SCALE * gain_and_residual.to(slab.dtype)).chunk(2, dim=1)
        return degraded * torch.exp(_MAX_LOG_GAIN * torch.tanh(gain / _MAX_LOG_GAIN)) + residual


def _blocks(channels: int, count: int) -> nn.Sequential:
    """Return a level's residual blocks."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))
