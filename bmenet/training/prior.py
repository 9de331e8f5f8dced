"""Train the denoiser of clean latents, the prior that the ControlNet later steers."""

import torch
from torch import Tensor, nn

from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.evaluation.panel import panel
from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.autocast import autocast
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.covariates import RANGES
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.weights import Spec
from bmenet.restoration.latent import decode_volume
from bmenet.training.encode import Latents, clean_latents, load_autoencoder
from bmenet.training.engine.loader import Batch
from bmenet.training.engine.session import Trained
from bmenet.training.engine.setting import Setting
from bmenet.training.known_covariates import covariates_fingerprint, informed_covariates, subject_covariates
from bmenet.training.noise_training import train_on_noise
from bmenet.training.noise_validation import NoiseValidation

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
        return weighted_square_loss(predicted, batch["noise"]), {}


class PriorValidation:
    """The loss on held-out latents, and a picture of one latent noised and denoised in a single step.

    Parameters
    ----------
    setting : Setting
    autoencoder : LatentAutoencoder
        Decodes what is shown.
    losses : NoiseValidation
    shown : mapping of str to Tensor
        The example that is shown.
    autocast_dtype : torch.dtype
    """

    def __init__(
        self,
        setting: Setting,
        autoencoder: LatentAutoencoder,
        losses: NoiseValidation,
        shown: dict[str, Tensor],
        autocast_dtype: torch.dtype,
    ) -> None:
        self.setting = setting
        self.autoencoder = autoencoder
        self.losses = losses
        self.shown = shown
        self.autocast_dtype = autocast_dtype

    @torch.no_grad()
    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return minus the mean loss, and the metrics of `NoiseValidation`."""
        score, metrics = self.losses(network, step)
        device = next(network.parameters()).device
        autoencoder = self.autoencoder.to(device)
        schedule = NoiseSchedule(self.setting.config.diffusion)
        latent, covariates = (self.shown[name][None].to(device) for name in ("latent", "covariates"))
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0)).to(device)
        timestep = int(_SHOWN_FRACTION * schedule.timesteps)
        at = torch.tensor([timestep], device=device)
        noisy = schedule.add_noise(latent, noise, at)
        with autocast(device, self.autocast_dtype):
            predicted = network(noisy, at, covariates).float()
        latents = {"clean": latent, "noisy": noisy, "denoised": schedule.predict_clean(noisy, predicted, at)}
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
        covariates_fingerprint(),
        setting.weights_digest("autoencoder"),
        setting.clean_digests(),
    )


def describe_prior(setting: Setting, _network: nn.Module) -> Spec:
    """Return what the prior's weights are kept with."""
    config = setting.config
    return {
        "config": config.prior.model_dump(mode="json"),
        "diffusion": config.diffusion.model_dump(mode="json"),
        "latent_channels": config.autoencoder.latent_channels,
        "informed": informed_covariates(setting.split["covariates"], setting.split["train"]),
        "parents": setting.parents("autoencoder"),
    }


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
    autoencoder = load_autoencoder(setting, "autoencoder")
    return train_on_noise(
        "prior",
        setting,
        signature,
        steps=config.prior,
        examples=examples,
        held_out=held_out,
        timesteps=config.diffusion.timesteps,
        build=lambda: Denoiser(config.prior, config.autoencoder.latent_channels),
        objective=lambda _: PriorObjective(NoiseSchedule(config.diffusion)),
        validation=lambda losses, dtype: PriorValidation(setting, autoencoder, losses, held_out[0], dtype),
    )


def _with_covariates(setting: Setting, subject: str, latents: Latents) -> dict[str, dict[str, Tensor]]:
    """Return every latent of a subject with its covariates."""
    scaled = subject_covariates(setting.config, setting.layout, setting.split["covariates"], subject)
    covariates = torch.from_numpy(scaled.values)
    return {name: {"latent": latent, "covariates": covariates} for name, latent in latents.items()}
