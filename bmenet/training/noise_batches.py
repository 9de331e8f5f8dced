"""Batches for whatever predicts noise: latents, noise and timesteps; batch number `index` is always the same one."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bmenet.runtime.seeding import generator
from bmenet.training.engine.loader import Batch

_CROPPED = ("latent", "hint", "edges")


class NoiseBatches(Dataset[Batch]):
    """Whole batches of latents and what belongs to them, with ``noise``, ``timestep`` (B,), and ``die`` (B,) in [0, 1).

    Parameters
    ----------
    examples : sequence of mapping
        Each with ``latent``, shape (C, x, y, z), and whatever else belongs to it: tensors of shape (channels, x, y, z)
        named ``hint`` or ``edges`` are cropped with it.
    chances : sequence of float
        Of drawing each example.
    crop : sequence of int or None
        Latent voxels; None takes all.
    batch_size : int
    timesteps : int
        Drawn from [0, timesteps).
    seed : int
    key : str
        Tells the draws of one training from those of another.
    """

    def __init__(
        self,
        examples: Sequence[Mapping[str, Tensor]],
        chances: Sequence[float],
        *,
        crop: Sequence[int] | None,
        batch_size: int,
        timesteps: int,
        seed: int,
        key: str,
    ) -> None:
        self.examples = list(examples)
        self.chances = np.asarray(chances, dtype=np.float64) / np.sum(chances)
        self.crop = crop
        self.batch_size = batch_size
        self.timesteps = timesteps
        self.seed = seed
        self.key = key

    def __getitem__(self, index: int) -> Batch:
        """Return batch number `index`."""
        rng = generator(self.seed, self.key, index)
        elements = [self._element(rng) for _ in range(self.batch_size)]
        return {name: torch.stack([element[name] for element in elements]) for name in elements[0]}

    def _element(self, rng: np.random.Generator) -> dict[str, Tensor]:
        example = dict(self.examples[rng.choice(len(self.examples), p=self.chances)])
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
