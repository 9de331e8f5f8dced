"""Crops of clean volumes for the autoencoders: batch number `index` is always the same one."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import Dataset

from bmenet.config import AutoencoderConfig
from bmenet.data.layout import Layout
from bmenet.runtime.seeding import generator
from bmenet.training.engine.loader import Batch
from bmenet.training.fine_cases import load_clean

_GAIN = (0.9, 1.1)
"""The coarse result's brightness is not exactly the clean one's: the autoencoder must not mind."""


class CropBatches(Dataset[Batch]):
    """Whole batches: ``clean`` (B, 1, X, Y, Z) and ``noise`` (B, C, x, y, z) for the latent, both float32.

    Every element is a random window, perhaps mirrored, times a random gain.

    Parameters
    ----------
    layout : Layout
    subjects : sequence of str
    config : AutoencoderConfig
        Gives `crop` and the latent's size.
    batch_size : int
    seed : int
    """

    def __init__(
        self, layout: Layout, subjects: Sequence[str], config: AutoencoderConfig, batch_size: int, seed: int
    ) -> None:
        self.subjects = list(subjects)
        self.config = config
        self.batch_size = batch_size
        self.seed = seed
        self._load = lru_cache(maxsize=None)(lambda subject: load_clean(layout, subject).data.astype(np.float16))

    def __getitem__(self, index: int) -> Batch:
        """Return batch number `index`."""
        rng = generator(self.seed, "crops", index)
        clean = np.stack([self._element(rng) for _ in range(self.batch_size)])[:, None]
        latent = [extent // self.config.downsampling for extent in self.config.crop]
        shape = (self.batch_size, self.config.latent_channels, *latent)
        return {
            "clean": torch.from_numpy(clean),
            "noise": torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)),
        }

    def _element(self, rng: np.random.Generator) -> np.ndarray:
        volume = self._load(self.subjects[rng.integers(len(self.subjects))])
        window = tuple(
            slice(first, first + size)
            for size, extent in zip(self.config.crop, volume.shape, strict=True)
            for first in [int(rng.integers(extent - size, endpoint=True))]
        )
        block = volume[window].astype(np.float32) * np.float32(rng.uniform(*_GAIN))
        if rng.random() < 0.5:
            block = block[::-1]
        return np.ascontiguousarray(block)
