"""Train the denoiser of clean latents, the prior that the ControlNet later steers."""

import numpy as np
import torch
from torch import Tensor, nn

from bmenet.covariates import RANGES
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.figures import panel
from bmenet.inference.latent import decode_volume
from bmenet.losses.denoising import noise_loss
from bmenet.models.denoiser import Denoiser
from bmenet.models.weights import Spec
from bmenet.training.encode import Latents, clean_latents, load_autoencoder
from bmenet.training.known_covariates import subject_covariates
from bmenet.training.loader import Batch, batch_loader
from bmenet.training.noise_batches import NoiseBatches
from bmenet.training.noise_validation import NoiseValidation
from bmenet.training.session import Task, Trained, train_network
from bmenet.training.setting import Setting

_SHOWN_FRACTION = 0.1
"""Of the timesteps: noise that still leaves something to see."""


class PriorObjective:
    """The noise in ``z_t``, predicted: ``|epsilon^(z_t, t, c) - epsilon|^2``."""

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, which is its only term."""
        noisy = self.schedule.add_noise(batch["latent"], batch["noise"], batch["timestep"])
        predicted = network(noisy, batch["timestep"], batch["covariates"])
        return noise_loss(predicted, batch["noise"]), {}


class PriorValidation:
    """The loss on held-out latents, and a picture of one latent noised and denoised in a single step.

    Parameters
    ----------
    setting : Setting
    losses : NoiseValidation
    shown : mapping of str to Tensor
        The example that is shown.
    autocast_dtype : torch.dtype
    """

    def __init__(
        self, setting: Setting, losses: NoiseValidation, shown: dict[str, Tensor], autocast_dtype: torch.dtype
    ) -> None:
        self.setting = setting
        self.losses = losses
        self.shown = shown
        self.autocast_dtype = autocast_dtype

    @torch.no_grad()
    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return minus the mean loss, and the metrics of `NoiseValidation`."""
        score, metrics = self.losses(network, step)
        device = next(network.parameters()).device
        autoencoder = load_autoencoder(self.setting, "autoencoder").to(device)
        schedule = NoiseSchedule(self.setting.config.diffusion)
        latent, covariates = (self.shown[name][None].to(device) for name in ("latent", "covariates"))
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0)).to(device)
        timestep = int(_SHOWN_FRACTION * schedule.timesteps)
        at = torch.tensor([timestep], device=device)
        noisy = schedule.add_noise(latent, noise, at)
        with torch.autocast(device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype != torch.float32):
            predicted = network(noisy, at, covariates).float()
        latents = {"clean": latent, "noisy": noisy, "denoised": schedule.predict_clean(noisy, predicted, timestep)}
        volumes = {
            name: decode_volume(autoencoder, z, self.autocast_dtype).cpu().numpy()[0, 0] for name, z in latents.items()
        }
        figure = panel(volumes, f"decoded latents, timestep {timestep}, step {step}")
        self.setting.logger.log_figure(figure, f"validation/step-{step:08d}.png")
        return score, metrics


def prior_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the prior's weights."""
    config = setting.config
    return setting.signature(
        *(section.model_dump(mode="json") for section in (config.prior, config.diffusion)),
        config.covariates.model_dump(mode="json", include=set(RANGES)),
        setting.split["covariates"],
        setting.weights_digest("autoencoder"),
        setting.clean_digests(),
    )


def describe_prior(setting: Setting) -> Spec:
    """Return what the prior's weights are kept with."""
    config = setting.config
    return {
        "config": config.prior.model_dump(mode="json"),
        "diffusion": config.diffusion.model_dump(mode="json"),
        "latent_channels": config.autoencoder.latent_channels,
        "informed": informed_covariates(setting).tolist(),
        "parents": setting.parents("autoencoder"),
    }


def informed_covariates(setting: Setting) -> np.ndarray:
    """Return, for each covariate, whether any training subject tells it; the prior learns nothing about the others."""
    known = [
        subject_covariates(setting.config, setting.layout, setting.split["covariates"], subject).is_known
        for subject in setting.split["train"]
    ]
    return np.any(known, axis=0)


def train_prior(setting: Setting, signature: str) -> Trained:
    """Encode the clean volumes of training and validation subjects, then train the denoiser on the latents."""
    setting.require_subjects()
    config = setting.config
    latents = clean_latents(setting, [*setting.split["train"], *setting.validation_subjects])
    examples = [
        example
        for subject in setting.split["train"]
        for example in _with_covariates(setting, subject, latents[subject]).values()
    ]
    held_out = [
        _with_covariates(setting, subject, latents[subject])["latent"] for subject in setting.validation_subjects
    ]
    objective = PriorObjective(NoiseSchedule(config.diffusion))
    batches = NoiseBatches(
        examples,
        [1.0] * len(examples),
        crop=config.prior.crop,
        batch_size=config.prior.batch_size,
        timesteps=config.diffusion.timesteps,
        seed=config.seed,
        key="prior",
    )
    return train_network(
        Task(
            name="prior",
            build=lambda: Denoiser(config.prior, config.autoencoder.latent_channels),
            load_batches=lambda start, accelerator: batch_loader(
                batches, start, config.prior.steps, config.training.workers, accelerator
            ),
            objective=lambda _: objective,
            validation=lambda dtype: PriorValidation(
                setting,
                NoiseValidation(held_out, objective, config.diffusion.timesteps, config.seed, dtype),
                held_out[0],
                dtype,
            ),
        ),
        setting.schedule(config.prior),
        config.training.precision,
        config.seed,
        setting.checkpoints("prior", signature),
        setting.logger,
    )


def _with_covariates(setting: Setting, subject: str, latents: Latents) -> dict[str, dict[str, Tensor]]:
    """Return every latent of a subject with its covariates."""
    scaled = subject_covariates(setting.config, setting.layout, setting.split["covariates"], subject)
    covariates = torch.from_numpy(scaled.values)
    return {name: {"latent": latent, "covariates": covariates} for name, latent in latents.items()}
