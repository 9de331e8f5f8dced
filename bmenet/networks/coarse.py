"""Slice networks for the first stage. `COARSE_ARCHS` lists those that `coarse.arch` can name."""

from torch import nn

from bmenet.config import CoarseConfig
from bmenet.networks.swinir import SwinIR
from bmenet.networks.unet import ResidualUnet

COARSE_ARCHS: dict[str, type[nn.Module]] = {"unet": ResidualUnet, "swinir": SwinIR}
"""Name to network; the configuration section of the same name gives its keywords."""


def build_coarse(config: CoarseConfig) -> nn.Module:
    """Return an untrained Coarse-net: slabs (B, context_slices + 3, H, W) to restored slices (B, 1, H, W)."""
    return COARSE_ARCHS[config.arch](config.context_slices, **getattr(config, config.arch).model_dump())
