"""Train the denoiser of clean latents, which the ControlNet later steers."""

from typing import Any, ClassVar

import torch
from torch import nn

from bmenet.evaluation.panel import panel
from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.compute import autocast
from bmenet.networks.covariate_encoder import RANGES
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import AUTOENCODER, DENOISER
from bmenet.networks.weights import Spec
from bmenet.restoration.torch_networks import decode_volume
from bmenet.training.engine.task import Batch, Loss, Validation
from bmenet.training.known_covariates import informed_covariates, subject_covariates
from bmenet.training.latents import Latents, clean_latents, load_autoencoder
from bmenet.training.noise import Example, NoiseTask

_SHOWN_FRACTION = 0.1
"""Of the timesteps: noise that still leaves something to see."""


class DenoiserTask(NoiseTask):
    """Predict the noise in ``z_t``: ``|epsilon^(z_t, t, c) - epsilon|^2``."""

    kind = DENOISER
    parents = (AUTOENCODER,)
    sections: ClassVar = ("denoiser", "diffusion")

    def prepare(self, dtype: torch.dtype) -> None:
        """Encode the clean volumes of training and validation subjects."""
        self.dtype = dtype
        latents = clean_latents(self.layout, [*self.split["train"], *self.validation_subjects])
        self.examples = [e for subject in self.split["train"] for e in self._examples(subject, latents[subject])]
        self.held_out = [self._examples(subject, latents[subject])[0] for subject in self.validation_subjects]
        self.autoencoder = load_autoencoder(self.layout)

    def network(self) -> Denoiser:
        """Return an untrained denoiser."""
        return Denoiser(self.config.denoiser, self.config.autoencoder.latent_channels)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the loss, which is its only term."""
        noisy = self.noise_schedule.add_noise(batch["latent"], batch["noise"], batch["timestep"])
        predicted = network(noisy, batch["timestep"], batch["covariates"])
        return weighted_square_loss(predicted, batch["noise"]), {}

    @torch.no_grad()
    def validate(self, network: nn.Module, step: int) -> Validation:
        """Return minus the loss on held-out latents, and a picture of one, noised and denoised in a single step."""
        metrics = self.held_out_loss(network)
        device = next(network.parameters()).device
        autoencoder = self.autoencoder.to(device)
        latent, covariates = (self.held_out[0][name][None].to(device) for name in ("latent", "covariates"))
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0)).to(device)
        timestep = int(_SHOWN_FRACTION * self.timesteps)
        at = torch.tensor([timestep], device=device)
        noisy = self.noise_schedule.add_noise(latent, noise, at)
        with autocast(device, self.dtype):
            predicted = network(noisy, at, covariates).float()
        latents = {"clean": latent, "noisy": noisy, "denoised": self.noise_schedule.predict_clean(noisy, predicted, at)}
        volumes = {name: decode_volume(autoencoder, z, self.dtype).cpu().numpy()[0, 0] for name, z in latents.items()}
        figure = panel(volumes, f"decoded latents, timestep {timestep}, step {step}")
        return Validation(-metrics["val.loss"], metrics, figure)

    def spec(self, network: nn.Module) -> Spec:
        """Return sizes, noise schedule, and the covariates that the denoiser has seen known."""
        config = self.config
        return {
            "config": config.denoiser.model_dump(mode="json"),
            "diffusion": config.diffusion.model_dump(mode="json"),
            "latent_channels": config.autoencoder.latent_channels,
            "informed": informed_covariates(self.split["covariates"], self.split["train"]),
        }

    def decisive(self) -> list[Any]:
        """Return also what is known about subjects, and how it is measured and scaled."""
        return [
            *super().decisive(),
            self.config.covariates.model_dump(mode="json", include=set(RANGES)),
            self.split["covariates"],
        ]

    def _examples(self, subject: str, latents: Latents) -> list[Example]:
        """Return the latents of a subject, that of its volume first, with its covariates."""
        scaled = subject_covariates(self.config, self.layout, self.split["covariates"], subject)
        covariates = torch.from_numpy(scaled.values)
        return [{"latent": latents[name], "covariates": covariates} for name in ("latent", "mirrored")]
