"""How a network's weights lie in memory."""

import torch
from torch import nn

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Of the weights of 2D and 3D convolutions."""


def lay_channels_last(network: nn.Module) -> nn.Module:
    """Lay the channels of every convolution's weights side by side; in bfloat16 a CPU is up to twice as fast so."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim in _FORMATS:
                parameter.data = parameter.data.contiguous(memory_format=_FORMATS[parameter.ndim])
    return network
