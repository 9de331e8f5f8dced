"""The published Coarse-net: SwinIR on pixel-unshuffled slices, from MONAI's Swin blocks."""

from monai.networks.nets.swin_unetr import BasicLayer
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config.sections import SwinirConfig
from bmenet.networks.slab import central_slice, input_channels, pad_to_multiple

_HEAD_CHANNELS = 64


class SwinIR(nn.Module):
    """Restore the central slice of a slab with residual groups of Swin Transformer layers.

    Pixel-unshuffle, shallow features by one convolution, deep features by residual groups, then nearest-neighbour
    upsampling with convolutions, added to the degraded slice. The last layer starts at zero, so the untrained
    network is the identity.

    Parameters
    ----------
    context_slices : int
        Slices in the slab, odd.
    config : SwinirConfig
        The transformer works at 1 / `unshuffle` of the slice's resolution, a power of two, with `embed` features of a
        token and windows of `window` tokens along an edge. `depths` are the Swin layers of each residual group.

    References
    ----------
    Liang et al. (2021). SwinIR: image restoration using Swin Transformer. doi:10.1109/ICCVW54120.2021.00210
    """

    def __init__(self, context_slices: int, config: SwinirConfig) -> None:
        super().__init__()
        embed, unshuffle = config.embed, config.unshuffle
        self.context_slices = context_slices
        self.unshuffle = unshuffle
        self.multiple = unshuffle * config.window
        self.shallow = nn.Conv2d(input_channels(context_slices) * unshuffle**2, embed, 3, padding=1)
        self.groups = nn.ModuleList(_ResidualGroup(depth, config) for depth in config.depths)
        self.norm = nn.LayerNorm(embed)
        self.fuse = nn.Conv2d(embed, embed, 3, padding=1)
        self.widen = nn.Conv2d(embed, _HEAD_CHANNELS, 3, padding=1)
        doublings = unshuffle.bit_length() - 1
        self.up = nn.ModuleList(nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, 3, padding=1) for _ in range(doublings))
        self.refine = nn.Conv2d(_HEAD_CHANNELS, _HEAD_CHANNELS, 3, padding=1)
        self.tail = nn.Conv2d(_HEAD_CHANNELS, 1, 3, padding=1)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)

    def forward(self, slab: Tensor) -> Tensor:
        """Return the restored central slices, shape (B, 1, H, W), from slabs of shape (B, C, H, W)."""
        height, width = slab.shape[-2:]
        degraded = central_slice(slab, self.context_slices)
        shallow = self.shallow(functional.pixel_unshuffle(pad_to_multiple(slab, self.multiple), self.unshuffle))
        features = shallow
        for group in self.groups:
            features = group(features)
        features = self.norm(features.movedim(1, -1)).movedim(-1, 1)
        features = functional.leaky_relu(self.widen(shallow + self.fuse(features)), 0.01)
        for up in self.up:
            features = functional.leaky_relu(up(functional.interpolate(features, scale_factor=2.0)), 0.2)
        residual = self.tail(functional.leaky_relu(self.refine(features), 0.2))
        return degraded + residual[..., :height, :width].to(slab.dtype)


class _ResidualGroup(nn.Module):
    """Swin layers, a convolution, and the way around both."""

    def __init__(self, depth: int, config: SwinirConfig) -> None:
        super().__init__()
        self.layers = BasicLayer(
            config.embed,
            depth,
            config.heads,
            (config.window, config.window),
            drop_path=[0.0] * depth,
            mlp_ratio=config.mlp_ratio,
            qkv_bias=True,
        )
        self.convolution = nn.Conv2d(config.embed, config.embed, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.convolution(self.layers(features))
