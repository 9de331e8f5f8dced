"""Train the autoencoders: of clean volumes, then, from the same weights, of their edge maps."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bmenet.config import AutoencoderConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.volume import load_mask
from bmenet.losses.reconstruction import ReconstructionLoss
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.fine_weights import AUTOENCODER, EDGE_AUTOENCODER, load_fine
from bmenet.networks.weights import Spec
from bmenet.restoration.torch_networks import decode_volume, edge_map, encode_volume
from bmenet.runtime.seeding import generator
from bmenet.training.engine.task import Batch, Loss, Task, Validation
from bmenet.training.subjects import load_clean

_MEASURED_SUBJECTS = 8
"""Training subjects whose latents give shift and scale."""

_GAIN = (0.9, 1.1)
"""The coarse result's brightness is not exactly the clean one's: the autoencoder must not mind."""


@dataclass(eq=False)
class CropBatches(Dataset[Batch]):
    """Whole batches: ``clean`` (B, 1, X, Y, Z) and ``noise`` (B, C, x, y, z) for the latent, both float32.

    Every element is a random window, perhaps mirrored, times a random gain; batch number `index` is always the same.
    """

    layout: Layout
    subjects: list[str]
    config: AutoencoderConfig
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        self._load = lru_cache(maxsize=None)(lambda subject: load_clean(self.layout, subject).data.astype(np.float16))

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


class AutoencoderTask(Task):
    """Reconstruct clean volumes."""

    kind = AUTOENCODER
    sections: ClassVar = ("autoencoder",)

    def seen(self, volume: Tensor) -> Tensor:
        """Return what the autoencoder sees of clean volumes: here, all."""
        return volume

    def prepare(self, dtype: torch.dtype) -> None:
        """Note the number format; volumes are read when they are drawn."""
        self.dtype = dtype
        self.reconstruction_loss = ReconstructionLoss(self.config.autoencoder)

    def network(self) -> LatentAutoencoder:
        """Return an untrained autoencoder."""
        return LatentAutoencoder(self.config.autoencoder)

    def batches(self) -> CropBatches:
        """Return crops of clean volumes."""
        config = self.config
        return CropBatches(self.layout, self.split["train"], config.autoencoder, self.steps.batch_size, config.seed)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the reconstruction loss and its terms."""
        target = self.seen(batch["clean"]).contiguous(memory_format=torch.channels_last_3d)
        restored, mean, std = network(target, batch["noise"])
        return self.reconstruction_loss(restored.float(), target, mean.float(), std.float())

    def validate(self, network: nn.Module, step: int) -> Validation:
        """Reconstruct whole validation volumes: the ceiling of what a decoded latent can be.

        The score is the PSNR inside the brain; metrics are ``val.psnr``, ``val.psnr_brain``, ``val.ssim`` and
        ``val.ssim_brain``.
        """
        autoencoder, device = cast(LatentAutoencoder, network), next(network.parameters()).device
        subjects = self.validation_subjects
        sums = dict.fromkeys(("val.psnr", "val.psnr_brain", "val.ssim", "val.ssim_brain"), 0.0)
        for subject in subjects:
            volume = load_clean(self.layout, subject).data
            brain_mask = load_mask(self.layout.brain_mask(subject))
            target = self.seen(torch.from_numpy(volume)[None, None].to(device))
            latent = encode_volume(autoencoder, target, self.dtype)
            restored = decode_volume(autoencoder, latent, self.dtype).cpu().numpy()[0, 0]
            shown = target.cpu().numpy()[0, 0]
            for name, metric in (("psnr", psnr), ("ssim", ssim)):
                sums[f"val.{name}"] += metric(restored, shown)
                sums[f"val.{name}_brain"] += metric(restored, shown, brain_mask)
            if subject == subjects[0]:
                title = f"{subject}, {self.kind.replace('_', ' ')}, step {step}"
                figure = panel({"clean": shown, "decoded": restored}, title)
        means = {name: total / len(subjects) for name, total in sums.items()}
        return Validation(means["val.psnr_brain"], means, figure)

    def spec(self, network: nn.Module) -> Spec:
        """Return the network's sizes, and what gives latents zero mean and unit variance."""
        autoencoder, subjects = cast(LatentAutoencoder, network), self.split["train"][:_MEASURED_SUBJECTS]
        volumes = (torch.from_numpy(load_clean(self.layout, subject).data)[None, None] for subject in subjects)
        latents = torch.cat([encode_volume(autoencoder, self.seen(volume)) for volume in volumes])
        by_channel = latents.movedim(1, 0).flatten(1)
        return {
            "config": self.config.autoencoder.model_dump(mode="json"),
            "shift": by_channel.mean(dim=1).tolist(),
            "scale": (1 / by_channel.std(dim=1)).tolist(),
        }


class EdgeAutoencoderTask(AutoencoderTask):
    """Fine-tune a copy of the image autoencoder on edge maps."""

    kind = EDGE_AUTOENCODER
    parents = (AUTOENCODER,)
    sections: ClassVar = ("edge_autoencoder",)  # the sizes are the autoencoder's

    def seen(self, volume: Tensor) -> Tensor:
        """Return the edge map of clean volumes."""
        return edge_map(volume)

    def network(self) -> LatentAutoencoder:
        """Return the image autoencoder, its latents not scaled."""
        image_autoencoder, _ = load_fine(self.layout.weights(AUTOENCODER), AUTOENCODER)
        network = super().network()
        network.load_state_dict(image_autoencoder.state_dict())
        return network
