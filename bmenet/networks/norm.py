"""Norms in the place of others, with their parameters' names and shapes."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


class ChannelNorm(nn.Module):
    """Normalise the channels of every voxel, then scale and shift each channel.

    A group norm takes its statistics over the whole volume: a network trained on crops then sees others, ruled by the
    empty background, when it is given a whole head. Parameters have the group norm's names and shapes.

    References
    ----------
    Ba, Kiros, Hinton (2016). Layer normalization. arXiv:1607.06450
    """

    def __init__(self, channels: int, eps: float = 1e-4) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        group_norm = nn.GroupNorm(1, channels)
        self.weight, self.bias = group_norm.weight, group_norm.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, ...)."""
        last = functional.layer_norm(features.movedim(1, -1), (self.channels,), self.weight, self.bias, self.eps)
        return last.movedim(-1, 1)


def use_channel_norms(network: nn.Module) -> None:
    """Replace every group norm inside `network` by a `ChannelNorm`."""
    replace_layers(network, nn.GroupNorm, lambda norm: ChannelNorm(norm.num_channels))


def replace_layers(network: nn.Module, kind: type[nn.Module], make: Callable[..., nn.Module]) -> None:
    """Replace every layer of a kind inside `network`, at any depth, by what `make` returns for it."""
    for name, child in network.named_children():
        if isinstance(child, kind):
            setattr(network, name, make(child))
        else:
            replace_layers(child, kind, make)
