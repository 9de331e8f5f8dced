"""Train the ControlNet, the only part of the second stage that learns to restore."""

from typing import Any

import torch
from torch import Tensor, nn

from bmenet.brain import foreground_mask
from bmenet.config import Config, SamplingConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.figures import panel
from bmenet.inference.fine import DEFAULT_SAMPLING, FineNet
from bmenet.losses.denoising import noise_loss
from bmenet.metrics.fidelity import psnr
from bmenet.models.control import HintControl
from bmenet.models.fine_weights import load_fine
from bmenet.models.weights import Spec
from bmenet.training.encode_cases import case_latents
from bmenet.training.fine_cases import case_codes, coarse_digests, load_pair
from bmenet.training.frozen import Frozen
from bmenet.training.loader import Batch, batch_loader
from bmenet.training.noise_batches import NoiseBatches
from bmenet.training.noise_validation import NoiseValidation
from bmenet.training.session import Task, Trained, train_network
from bmenet.training.setting import Setting

VALIDATED_CODE = "111"


class FineObjective:
    """``w(x) |epsilon^(z_t, t, c, h) - epsilon|^2``, the frozen denoiser steered by the control.

    ``w = 1 + w_edge G(x) / mean G(x)`` on the latent grid makes the loss edge-sensitive. Now and then the edges are
    left out of the hint, so that the network works without them too and what they bring can be measured.

    Parameters
    ----------
    setting : Setting
    denoiser : Frozen
    """

    def __init__(self, setting: Setting, denoiser: Frozen) -> None:
        self.config = setting.config.fine
        self.schedule = NoiseSchedule(setting.config.diffusion)
        self.denoiser = denoiser

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the part of it that does not weigh edges."""
        timestep, covariates = batch["timestep"], batch["covariates"]
        noisy = self.schedule.add_noise(batch["latent"], batch["noise"], timestep)
        control = network(noisy, timestep, covariates, self._hint(batch))
        predicted = self.denoiser(noisy, timestep, covariates, control)
        weights = 1 + self.config.edge_weight * (batch["edges"] - 1)
        return noise_loss(predicted, batch["noise"], weights), {
            "unweighted": noise_loss(predicted, batch["noise"]).detach()
        }

    def _hint(self, batch: Batch) -> Tensor:
        """Return the hint, its edges left out where the batch's die says so."""
        hint = batch["hint"]
        if "die" not in batch:
            return hint
        image, edges = hint.chunk(2, dim=1)
        is_kept = (batch["die"] >= self.config.edge_dropout).view(-1, 1, 1, 1, 1)
        return torch.cat([image, edges * is_kept], dim=1)


class FineValidation:
    """The loss on held-out cases, and one volume enhanced from end to end."""

    def __init__(self, setting: Setting, denoiser: nn.Module, losses: NoiseValidation) -> None:
        self.setting = setting
        self.denoiser = denoiser
        self.losses = losses

    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return minus the loss; ``val.loss``, and PSNR inside the brain of the coarse and of the fine volume."""
        score, metrics = self.losses(network, step)
        subject = self.setting.validation_subjects[0]
        layout, config = self.setting.layout, self.setting.config
        coarse, clean = (volume.data for volume in load_pair(layout, subject, VALIDATED_CODE))
        device = next(network.parameters()).device
        kinds = ("autoencoder", "edge_autoencoder", "covariates")
        autoencoder, edge_autoencoder, covariate_encoder = (
            load_fine(layout.weights(kind), kind)[0].to(device) for kind in kinds
        )
        schedule = NoiseSchedule(config.diffusion)
        networks: dict[str, Any] = {
            "autoencoder": autoencoder,
            "edge_autoencoder": edge_autoencoder,
            "covariate_encoder": covariate_encoder,
            "denoiser": self.denoiser,
            "control": network,
        }
        net = FineNet(
            **networks, schedule=schedule, max_timestep=config.fine.max_timestep, spacing_mm=config.grid.spacing_mm
        )
        fine = net.restore(coarse, _validation_sampling(config)).data
        brain_mask = foreground_mask(clean)
        metrics["val.psnr_brain.coarse"] = psnr(coarse, clean, brain_mask)
        metrics["val.psnr_brain.fine"] = psnr(fine, clean, brain_mask)
        title = f"{subject}, code {VALIDATED_CODE}, step {step}"
        figure = panel({"clean": clean, "coarse": coarse, "fine": fine}, title)
        self.setting.logger.log_figure(figure, f"validation/step-{step:08d}.png")
        return score, metrics


def fine_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the ControlNet's weights."""
    config = setting.config
    return setting.signature(
        *(section.model_dump(mode="json") for section in (config.fine, config.diffusion, config.prior)),
        [setting.weights_digest(kind) for kind in ("autoencoder", "edge_autoencoder", "covariates", "prior")],
        setting.clean_digests(),
        coarse_digests(setting.layout, setting.all_subjects, case_codes(config.fine)),
    )


def describe_fine(setting: Setting) -> Spec:
    """Return what the ControlNet's weights are kept with."""
    return {
        "config": setting.config.prior.model_dump(mode="json"),
        "latent_channels": setting.config.autoencoder.latent_channels,
        "max_timestep": setting.config.fine.max_timestep,
        "parents": setting.parents("autoencoder", "edge_autoencoder", "covariates", "prior"),
    }


def train_fine(setting: Setting, signature: str) -> Trained:
    """Encode the cases of training and validation subjects, then train the ControlNet; the denoiser stays as it is."""
    setting.require_subjects()
    config = setting.config
    weights = {code: weight for code, weight in config.fine.code_weights.items() if weight > 0}
    cases = [(subject, code) for subject in setting.split["train"] for code in weights]
    held_out = [(subject, VALIDATED_CODE) for subject in setting.validation_subjects]
    latents = case_latents(setting, [*cases, *held_out])
    denoiser, _ = load_fine(setting.layout.weights("prior"), "prior")
    timesteps = config.fine.max_timestep + 1
    batches = NoiseBatches(
        [latents[case] for case in cases],
        [weights[code] for _, code in cases],
        crop=config.prior.crop,
        batch_size=config.fine.batch_size,
        timesteps=timesteps,
        seed=config.seed,
        key="fine",
    )

    def build() -> HintControl:
        network = HintControl(config.prior, config.autoencoder.latent_channels)
        network.copy_encoder(denoiser)  # type: ignore[arg-type]
        return network

    def validation(dtype: torch.dtype) -> FineValidation:
        objective = FineObjective(setting, Frozen(denoiser, dtype))
        examples = [latents[case] for case in held_out]
        return FineValidation(setting, denoiser, NoiseValidation(examples, objective, timesteps, config.seed, dtype))

    return train_network(
        Task(
            name="fine",
            build=build,
            load_batches=lambda start, accelerator: batch_loader(
                batches, start, config.fine.steps, config.training.workers, accelerator
            ),
            objective=lambda dtype: FineObjective(setting, Frozen(denoiser, dtype)),
            validation=validation,
        ),
        setting.schedule(config.fine),
        config.training.precision,
        config.seed,
        setting.checkpoints("fine", signature),
        setting.logger,
    )


def _validation_sampling(config: Config) -> SamplingConfig:
    """Return how validation runs the reverse process: quickly, unconstrained, from half the trained range."""
    start = config.fine.max_timestep // 2
    guidance = DEFAULT_SAMPLING.guidance.model_copy(update={"scale": 0.0})
    changes = {"start_timestep": start, "steps": min(5, start + 1), "guidance": guidance}
    return DEFAULT_SAMPLING.model_copy(update=changes)
