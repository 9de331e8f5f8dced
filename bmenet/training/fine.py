"""Train the ControlNet, the only part of the second stage that learns to restore."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from bmenet.config import SamplingConfig
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.diffusion.prediction import CleanPrediction
from bmenet.evaluation.metrics.fidelity import hfen, psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.brain import foreground_mask
from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import load_fine
from bmenet.networks.weights import Spec
from bmenet.restoration.fine import DEFAULT_SAMPLING, FineNet
from bmenet.restoration.latent import channel_sensitivity
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.errors import TrainingError
from bmenet.training.encode import Latents, load_autoencoder
from bmenet.training.encode_cases import CoarseCase, case_covariates, case_latents
from bmenet.training.engine.loader import Batch
from bmenet.training.engine.session import Trained
from bmenet.training.engine.setting import Setting
from bmenet.training.fine_cases import case_codes, coarse_digests, load_pair
from bmenet.training.frozen import Frozen
from bmenet.training.noise_training import train_on_noise
from bmenet.training.noise_validation import NoiseValidation

VALIDATED_CODE = "111"

_METRICS = {"psnr": psnr, "ssim": ssim, "hfen": hfen}

_EDGE_FREE = 1.01
"""Weights of the loss below it, for an edge weight of 1, are those of the background, which has no edges at all."""


class FineObjective:
    """``w(x) sum_c q_c (z_0^ - z_0)^2 / sum_c q_c d_c^2``, with the frozen denoiser and the control behind ``z_0^``.

    ``d`` is how far off ``z_0^`` may be before training, so that all timesteps have their say: in the published method,
    where nothing is known of the reference and all ``q_c`` are 1, this is the loss of the noise. ``q_c`` says how much
    a latent channel changes the image: after scaling to unit variance some channels matter fifty times more than
    others, and a loss that weighs them equally falls while the image gets worse. ``w = 1 + w_edge G(x) / mean G(x)`` on
    the latent grid makes it edge-sensitive. Now and then the edges are left out of the hint, so that the network works
    without them too and what they bring can be measured.

    Parameters
    ----------
    setting : Setting
    denoiser : Frozen
    reference_variance : sequence of float or None
        Of E(r) about E(x): see `CleanPrediction`.
    channel_weights : sequence of float, (C,)
        ``q``.
    """

    def __init__(
        self,
        setting: Setting,
        denoiser: Frozen,
        reference_variance: Sequence[float] | None,
        channel_weights: Sequence[float],
    ) -> None:
        self.config = setting.config.fine
        self.schedule = NoiseSchedule(setting.config.diffusion)
        self.prediction = CleanPrediction(self.schedule, reference_variance)
        self.channel_weights = torch.tensor(channel_weights, dtype=torch.float32).view(1, -1, 1, 1, 1)
        self.denoiser = denoiser

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and the part of it that does not weigh edges."""
        timestep, covariates, hint = batch["timestep"], batch["covariates"], self._hint(batch)
        noisy = self.schedule.add_noise(batch["latent"], batch["noise"], timestep)
        steered = self.denoiser(noisy, timestep, covariates, network(noisy, timestep, covariates, hint)).float()
        is_anchored = self.prediction.reference_variance is not None
        noise = self.denoiser(noisy, timestep, covariates, None).float() if is_anchored else None
        predicted = self.prediction(steered, noise, noisy, timestep, hint.chunk(2, dim=1)[0])
        channels = self.channel_weights.to(noisy.device)
        spread = self.prediction.spread(timestep, noisy)
        unit = ((channels * spread**2).mean(dim=1, keepdim=True) / channels).sqrt()
        pair = predicted / unit, batch["latent"] / unit
        weights = 1 + self.config.edge_weight * (batch["edges"] - 1)
        return weighted_square_loss(*pair, weights), {"unweighted": weighted_square_loss(*pair).detach()}

    def _hint(self, batch: Batch) -> Tensor:
        """Return the hint, its edges left out where the batch's die says so."""
        hint = batch["hint"]
        if "die" not in batch:
            return hint
        image, edges = hint.chunk(2, dim=1)
        is_kept = (batch["die"] >= self.config.edge_dropout).view(-1, 1, 1, 1, 1)
        return torch.cat([image, edges * is_kept], dim=1)


class FineValidation:
    """Validation subjects enhanced from end to end; the loss is reported beside it.

    Parameters
    ----------
    setting : Setting
    denoiser : Denoiser
    losses : NoiseValidation
    dtype : torch.dtype
        Number format of the training.
    """

    def __init__(self, setting: Setting, denoiser: Denoiser, losses: NoiseValidation, dtype: torch.dtype) -> None:
        self.setting = setting
        self.denoiser = denoiser
        self.losses = losses
        self.dtype = dtype
        kinds = ("autoencoder", "edge_autoencoder", "covariates")
        self.others = [load_fine(setting.layout.weights(kind), kind)[0] for kind in kinds]
        self.sampling = _validation_sampling(setting.config.fine.max_timestep)

    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return the score; the metrics of the coarse and of the fine volumes, and the loss.

        The score is the mean PSNR inside the brain; of the published form, which is sampled in many more steps from
        noise, minus the loss.
        """
        loss_score, metrics = self.losses(network, step)
        setting, config = self.setting, self.setting.config
        device = next(network.parameters()).device
        autoencoder, edge_autoencoder, covariate_encoder = (other.to(device) for other in self.others)
        networks = TorchNetworks(
            cast(LatentAutoencoder, autoencoder),
            cast(LatentAutoencoder, edge_autoencoder),
            cast(CovariateEncoder, covariate_encoder),
            self.denoiser,
            cast(HintControl, network),
            self.dtype,
        )
        net = FineNet(
            networks,
            NoiseSchedule(config.diffusion),
            cast(HintControl, network).reference_variance,
            config.fine.max_timestep,
            config.grid.spacing_mm,
        )
        subjects = setting.validation_subjects
        for subject in subjects:
            coarse, clean = (volume.data for volume in load_pair(setting.layout, subject, VALIDATED_CODE))
            volumes = {"coarse": coarse, "fine": net.restore(coarse, self.sampling).data}
            brain_mask = foreground_mask(clean)
            for stage, volume in volumes.items():
                for name, metric in _METRICS.items():
                    key = f"val.{name}_brain.{stage}"
                    metrics[key] = metrics.get(key, 0.0) + metric(volume, clean, brain_mask) / len(subjects)
            if subject == subjects[0]:
                figure = panel({"clean": clean, **volumes}, f"{subject}, code {VALIDATED_CODE}, step {step}")
                setting.logger.log_figure(figure, f"validation/step-{step:08d}.png")
        return metrics["val.psnr_brain.fine"] if config.fine.anchored else loss_score, metrics


def fine_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the ControlNet's weights."""
    config = setting.config
    return setting.signature(
        *(section.model_dump(mode="json") for section in (config.fine, config.diffusion, config.prior)),
        [setting.weights_digest(kind) for kind in ("autoencoder", "edge_autoencoder", "covariates", "prior")],
        setting.clean_digests(),
        coarse_digests(setting.layout, setting.all_subjects, case_codes(config.fine)),
    )


def describe_fine(setting: Setting, network: nn.Module) -> Spec:
    """Return what the ControlNet's weights are kept with."""
    return {
        "config": setting.config.prior.model_dump(mode="json"),
        "latent_channels": setting.config.autoencoder.latent_channels,
        "reference_variance": cast(HintControl, network).reference_variance,
        "max_timestep": setting.config.fine.max_timestep,
        "parents": setting.parents("autoencoder", "edge_autoencoder", "covariates", "prior"),
    }


def train_fine(setting: Setting, signature: str) -> Trained:
    """Encode the cases of training and validation subjects, then train the ControlNet; the denoiser stays as it is."""
    setting.require_subjects()
    config = setting.config
    weights = {code: weight for code, weight in config.fine.code_weights.items() if weight > 0}
    cases = [
        CoarseCase(subject, code, is_mirrored)
        for subject in setting.split["train"]
        for code in weights
        for is_mirrored in (False, True)
    ]
    held_out = [CoarseCase(subject, VALIDATED_CODE) for subject in setting.validation_subjects]
    latents, covariates = case_latents(setting, [*cases, *held_out]), case_covariates(setting, [*cases, *held_out])
    examples, unseen = ([latents[case] | covariates[case] for case in group] for group in (cases, held_out))
    chances = [weights[case.code] for case in cases]
    variance = _reference_variance(unseen) if config.fine.anchored else None
    denoiser = cast(Denoiser, load_fine(setting.layout.weights("prior"), "prior")[0])
    channel_weights = [1.0] * config.autoencoder.latent_channels
    if config.fine.channel_weights == "decoder":
        channel_weights = channel_sensitivity(load_autoencoder(setting, "autoencoder"), unseen[0]["latent"])

    def build() -> HintControl:
        network = HintControl(config.prior, config.autoencoder.latent_channels, variance)
        network.copy_encoder(denoiser)
        return network

    return train_on_noise(
        "fine",
        setting,
        signature,
        steps=config.fine,
        examples=examples,
        chances=chances,
        held_out=unseen,
        timesteps=config.fine.max_timestep + 1,
        build=build,
        objective=lambda dtype: FineObjective(setting, Frozen(denoiser, dtype), variance, channel_weights),
        validation=lambda losses, dtype: FineValidation(setting, denoiser, losses, dtype),
    )


def _reference_variance(unseen: Sequence[Latents]) -> list[float]:
    """Return the mean square of E(r) - E(x) by channel, inside the head, where the Coarse-net was not trained."""
    squares = []
    for example in unseen:
        error = example["hint"].chunk(2)[0] - example["latent"]
        squares.append(error.square()[:, example["edges"][0] > _EDGE_FREE].mean(dim=1))
    variance = torch.stack(squares).mean(dim=0)
    if not bool((variance > 0).all()):  # not a number, where there is no head
        raise TrainingError(
            "fine.anchored: expected coarse results that differ from the clean volumes; got a variance of"
            f" {variance.tolist()} on validation subjects; look at data/coarse, or set fine.anchored to false"
        )
    return variance.tolist()


def _validation_sampling(max_timestep: int) -> SamplingConfig:
    """Return how validation runs the reverse process: as by default, unconstrained, from a trained timestep."""
    guidance = DEFAULT_SAMPLING.guidance.model_copy(update={"scale": 0.0})
    start = min(DEFAULT_SAMPLING.start_timestep, max_timestep)
    changes = {"start_timestep": start, "steps": min(DEFAULT_SAMPLING.steps, start + 1), "guidance": guidance}
    return DEFAULT_SAMPLING.model_copy(update=changes)
