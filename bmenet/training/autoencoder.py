"""Train the autoencoders: of clean volumes, then, from the same weights, of their edge maps."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from bmenet.config import AutoencoderConfig, StepsConfig
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.brain import foreground_mask
from bmenet.losses.reconstruction import ReconstructionLoss
from bmenet.networks.autoencoder import LatentAutoencoder, autoencoder_from_spec
from bmenet.networks.weights import Spec, load_weights
from bmenet.restoration.latent import decode_volume, edge_map, encode_volume
from bmenet.training.engine.loader import Batch, batch_loader
from bmenet.training.engine.session import Task, Trained, train_network
from bmenet.training.engine.setting import Setting
from bmenet.training.fine_cases import load_clean
from bmenet.training.volume_batches import CropBatches

Transform = Callable[[Tensor], Tensor]
"""What the autoencoder sees of a clean volume."""

_MEASURED_SUBJECTS = 8
"""Training subjects whose latents give shift and scale."""


def _same(volume: Tensor) -> Tensor:
    """Leave the volume as it is."""
    return volume


class AutoencoderObjective:
    """The reconstruction loss of `transform` (clean)."""

    def __init__(self, config: AutoencoderConfig, transform: Transform) -> None:
        self.loss = ReconstructionLoss(config)
        self.transform = transform

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total loss and its terms."""
        target = self.transform(batch["clean"]).contiguous(memory_format=torch.channels_last_3d)
        restored, mean, std = network(target, batch["noise"])
        return self.loss(restored.float(), target, mean.float(), std.float())


class AutoencoderValidation:
    """Reconstruct whole validation volumes: the ceiling of what a decoded latent can be."""

    def __init__(self, setting: Setting, transform: Transform, title: str, autocast_dtype: torch.dtype) -> None:
        self.setting = setting
        self.transform = transform
        self.title = title
        self.autocast_dtype = autocast_dtype

    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return the PSNR inside the brain, and ``val.psnr``, ``val.psnr_brain``, ``val.ssim``, ``val.ssim_brain``."""
        autoencoder = cast(LatentAutoencoder, network)
        subjects = self.setting.validation_subjects
        sums = dict.fromkeys(("val.psnr", "val.psnr_brain", "val.ssim", "val.ssim_brain"), 0.0)
        for subject in subjects:
            volume = load_clean(self.setting.layout, subject).data
            brain_mask = foreground_mask(volume)
            device = next(network.parameters()).device
            target = self.transform(torch.from_numpy(volume)[None, None].to(device))
            latent = encode_volume(autoencoder, target, self.autocast_dtype)
            restored = decode_volume(autoencoder, latent, self.autocast_dtype).cpu().numpy()[0, 0]
            shown = target.cpu().numpy()[0, 0]
            for name, metric in (("psnr", psnr), ("ssim", ssim)):
                sums[f"val.{name}"] += metric(restored, shown)
                sums[f"val.{name}_brain"] += metric(restored, shown, brain_mask)
            if subject == subjects[0]:
                figure = panel({"clean": shown, "decoded": restored}, f"{subject}, {self.title}, step {step}")
                self.setting.logger.log_figure(figure, f"validation/step-{step:08d}.png")
        means = {name: total / len(subjects) for name, total in sums.items()}
        return means["val.psnr_brain"], means


def train_autoencoder(setting: Setting, signature: str) -> Trained:
    """Train the image autoencoder."""
    config = setting.config.autoencoder
    return _train(setting, signature, "autoencoder", config, lambda: LatentAutoencoder(config), _same)


def train_edge_autoencoder(setting: Setting, signature: str) -> Trained:
    """Fine-tune a copy of the image autoencoder on edge maps."""
    image_autoencoder, _ = load_weights(setting.layout.weights("autoencoder"), "autoencoder", autoencoder_from_spec)

    def build() -> nn.Module:
        network = LatentAutoencoder(setting.config.autoencoder)
        network.load_state_dict(image_autoencoder.state_dict())
        return network

    return _train(setting, signature, "edge_autoencoder", setting.config.edge_autoencoder, build, edge_map)


def autoencoder_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the weights of the image autoencoder."""
    return setting.signature(setting.config.autoencoder.model_dump(mode="json"), setting.clean_digests())


def edge_autoencoder_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the weights of the edge autoencoder."""
    return setting.signature(
        setting.config.edge_autoencoder.model_dump(mode="json"),
        setting.weights_digest("autoencoder"),
        setting.clean_digests(),
    )


def describe_autoencoder(setting: Setting, network: nn.Module, transform: Transform = _same) -> Spec:
    """Return what the weights are kept with: the network's sizes, and what gives latents zero mean, unit variance."""
    autoencoder = cast(LatentAutoencoder, network)
    subjects = setting.split["train"][:_MEASURED_SUBJECTS]
    volumes = (torch.from_numpy(load_clean(setting.layout, subject).data)[None, None] for subject in subjects)
    latents = torch.cat([encode_volume(autoencoder, transform(volume)) for volume in volumes])
    by_channel = latents.movedim(1, 0).flatten(1)
    return {
        "config": setting.config.autoencoder.model_dump(mode="json"),
        "shift": by_channel.mean(dim=1).tolist(),
        "scale": (1 / by_channel.std(dim=1)).tolist(),
    }


def describe_edge_autoencoder(setting: Setting, network: nn.Module) -> Spec:
    """Return what the edge autoencoder's weights are kept with."""
    return describe_autoencoder(setting, network, edge_map) | {"parents": setting.parents("autoencoder")}


def _train(
    setting: Setting,
    signature: str,
    name: str,
    steps: StepsConfig,
    build: Callable[[], nn.Module],
    transform: Transform,
) -> Trained:
    """Train one of the two."""
    setting.require_subjects()
    config = setting.config.autoencoder
    workers = setting.config.training.workers
    batches = CropBatches(setting.layout, setting.split["train"], config, steps.batch_size, setting.config.seed)
    return train_network(
        Task(
            name=name,
            build=build,
            load_batches=lambda start, accelerator: batch_loader(batches, start, steps.steps, workers, accelerator),
            objective=lambda _: AutoencoderObjective(config, transform),
            validation=lambda dtype: AutoencoderValidation(setting, transform, name.replace("_", " "), dtype),
        ),
        setting.schedule(steps),
        setting.config.training.precision,
        setting.config.seed,
        setting.checkpoints(name, signature),
        setting.logger,
    )
