"""A network that takes part in a training without being trained."""

from typing import Any

import torch
from torch import Tensor, nn

from bmenet.networks.autocast import autocast
from bmenet.networks.memory import lay_channels_last


class Frozen:
    """Call a network in evaluation mode and in a fixed number format; gradients pass through it, none stay in it.

    It is no module, so that no optimiser, checkpoint or average can find its weights.

    Parameters
    ----------
    network : Module
    dtype : torch.dtype
        Of its forward pass.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        self.network = lay_channels_last(network.requires_grad_(False).eval())
        self.dtype = dtype

    def __call__(self, first: Tensor, *others: Any) -> Tensor:
        """Return the network's output; it follows its first argument to that one's device."""
        self.network.to(first.device)
        with autocast(first.device, self.dtype):
            return self.network(first, *others)
