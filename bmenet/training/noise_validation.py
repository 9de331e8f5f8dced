"""Validate whatever predicts noise: its loss at fixed timesteps, with fixed noise, on whole validation latents."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bmenet.networks.autocast import autocast
from bmenet.runtime.seeding import generator
from bmenet.training.engine.loader import Batch

_FRACTIONS = (0.05, 0.2, 0.4, 0.6, 0.8)
"""Of the range of timesteps."""

BatchLoss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]


class NoiseValidation:
    """The mean loss over examples and timesteps; its negative is the score.

    Parameters
    ----------
    examples : sequence of mapping
        As of `NoiseBatches`.
    loss : callable
        The training's own objective.
    timesteps : int
        The range that training draws from.
    seed : int
    autocast_dtype : torch.dtype
    """

    def __init__(
        self,
        examples: Sequence[Mapping[str, Tensor]],
        loss: BatchLoss,
        timesteps: int,
        seed: int,
        autocast_dtype: torch.dtype,
    ) -> None:
        self.examples = examples
        self.loss = loss
        self.timesteps = timesteps
        self.seed = seed
        self.autocast_dtype = autocast_dtype

    @torch.no_grad()
    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return minus the mean loss, and ``val.loss`` in all and by timestep."""
        device = next(network.parameters()).device
        by_timestep: dict[str, list[float]] = {}
        for number, example in enumerate(self.examples):
            rng = generator(self.seed, "validation noise", number)
            noise = torch.from_numpy(rng.standard_normal(tuple(example["latent"].shape), dtype=np.float32))
            for fraction in _FRACTIONS:
                timestep = int(fraction * self.timesteps)
                batch = {name: tensor[None].to(device) for name, tensor in example.items()}
                batch |= {"noise": noise[None].to(device), "timestep": torch.tensor([timestep], device=device)}
                with autocast(device, self.autocast_dtype):
                    total, _ = self.loss(network, batch)
                by_timestep.setdefault(f"val.loss.t{timestep}", []).append(float(total))
        means = {name: sum(values) / len(values) for name, values in by_timestep.items()}
        mean = sum(means.values()) / len(means)
        return -mean, {"val.loss": mean, **means}
