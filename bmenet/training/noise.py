"""What the denoiser, the covariate encoder and the ControlNet share: they are trained by the noise in latents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.networks.compute import autocast, lay_channels_last
from bmenet.runtime.seeding import generator
from bmenet.training.engine.task import Batch, Task

Example = Mapping[str, Tensor]
"""``latent``, shape (C, x, y, z), and whatever else belongs to it."""

_CROPPED = ("latent", "hint", "edges")

_FRACTIONS = (0.05, 0.2, 0.4, 0.6, 0.8)
"""Of the range of timesteps: where the loss is validated."""


@dataclass(eq=False)
class NoiseBatches(Dataset[Batch]):
    """Whole batches of latents and what belongs to them, with ``noise``, ``timestep`` (B,), and ``die`` (B,) in [0, 1).

    Tensors of shape (channels, x, y, z) named ``hint`` or ``edges`` are cropped with the latent: `crop` latent voxels
    (None: all). Timesteps lie in [0, timesteps). `key` tells the draws of one training from those of another.
    """

    examples: Sequence[Example]
    chances: Sequence[float]
    crop: Sequence[int] | None
    batch_size: int
    timesteps: int
    seed: int
    key: str

    def __post_init__(self) -> None:
        self._chances = np.asarray(self.chances, dtype=np.float64) / np.sum(self.chances)

    def __getitem__(self, index: int) -> Batch:
        """Return batch number `index`."""
        rng = generator(self.seed, self.key, index)
        elements = [self._element(rng) for _ in range(self.batch_size)]
        return {name: torch.stack([element[name] for element in elements]) for name in elements[0]}

    def _element(self, rng: np.random.Generator) -> dict[str, Tensor]:
        example = dict(self.examples[rng.choice(len(self.examples), p=self._chances)])
        extents = example["latent"].shape[1:]
        crop = [min(size, extent) for size, extent in zip(self.crop or extents, extents, strict=True)]
        firsts = [int(rng.integers(extent - size, endpoint=True)) for size, extent in zip(crop, extents, strict=True)]
        window = (slice(None), *(slice(first, first + size) for first, size in zip(firsts, crop, strict=True)))
        for name in _CROPPED:
            if name in example:
                example[name] = example[name][window]
        shape = example["latent"].shape
        example["noise"] = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        example["die"] = torch.tensor(rng.random())
        example["timestep"] = torch.tensor(int(rng.integers(self.timesteps)))
        return example


class Frozen:
    """Call a network in evaluation mode and in a fixed number format; gradients pass through it, none stay in it.

    It is no module, so that no optimiser, checkpoint or average can find its weights.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        self.network = lay_channels_last(network.requires_grad_(False).eval())
        self.dtype = dtype

    def __call__(self, first: Tensor, *others: Any) -> Tensor:
        """Return the network's output; it follows its first argument to that one's device."""
        self.network.to(first.device)
        with autocast(first.device, self.dtype):
            return self.network(first, *others)


class NoiseTask(Task):
    """Train on noised latents; validate the loss at fixed timesteps, with fixed noise, on whole validation latents.

    `prepare` sets `examples` of training, those `held_out` for validation, and the `dtype` of the forward pass.
    """

    examples: list[Example]
    held_out: list[Example]
    dtype: torch.dtype

    @cached_property
    def noise_schedule(self) -> NoiseSchedule:
        """The forward process."""
        return NoiseSchedule(self.config.diffusion)

    @property
    def timesteps(self) -> int:
        """Those drawn are in [0, timesteps)."""
        return self.config.diffusion.timesteps

    @property
    def chances(self) -> list[float]:
        """Of drawing each example."""
        return [1.0] * len(self.examples)

    def batches(self) -> NoiseBatches:
        """Return batches of examples, cropped as the denoiser's are."""
        crop, batch_size, seed = self.config.denoiser.crop, self.steps.batch_size, self.config.seed
        return NoiseBatches(self.examples, self.chances, crop, batch_size, self.timesteps, seed, self.kind)

    @torch.no_grad()
    def held_out_loss(self, network: nn.Module) -> dict[str, float]:
        """Return ``val.loss``, the mean over `held_out` and timesteps, and that of each timestep."""
        device = next(network.parameters()).device
        by_timestep: dict[str, list[float]] = {}
        for number, example in enumerate(self.held_out):
            rng = generator(self.config.seed, "validation noise", number)
            noise = torch.from_numpy(rng.standard_normal(tuple(example["latent"].shape), dtype=np.float32))
            batch = {name: tensor[None].to(device) for name, tensor in {**example, "noise": noise}.items()}
            for fraction in _FRACTIONS:
                timestep = int(fraction * self.timesteps)
                with autocast(device, self.dtype):
                    total, _ = self.loss(network, batch | {"timestep": torch.tensor([timestep], device=device)})
                by_timestep.setdefault(f"val.loss.t{timestep}", []).append(float(total))
        means = {name: sum(values) / len(values) for name, values in by_timestep.items()}
        return {"val.loss": sum(means.values()) / len(means), **means}
