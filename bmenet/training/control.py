"""Train the ControlNet, the only part of the second stage that learns to restore; the denoiser stays as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from bmenet.config import SamplingConfig
from bmenet.diffusion.prediction import CleanPrediction
from bmenet.evaluation.metrics.fidelity import hfen, psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.volume import load_mask
from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.control import HintControl
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.fine_weights import AUTOENCODER, CONTROL, COVARIATES, DENOISER, EDGE_AUTOENCODER, load_fine
from bmenet.networks.weights import Spec
from bmenet.restoration.coarsen import VALIDATED_CODE, case_codes
from bmenet.restoration.fine_net import DEFAULT_SAMPLING, FineNet
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.errors import TrainingError
from bmenet.training.engine.task import Batch, Loss, Validation
from bmenet.training.latents import CoarseCase, case_covariates, case_latents, channel_sensitivity, load_autoencoder
from bmenet.training.noise import Example, Frozen, NoiseTask
from bmenet.training.subjects import coarse_digests, load_pair

_METRICS = {"psnr": psnr, "ssim": ssim, "hfen": hfen}

_EDGE_FREE = 1.01
"""Weights of the loss below it, for an edge weight of 1, are those of the background, which has no edges at all."""


class ControlTask(NoiseTask):
    """Minimise ``w(x) sum_c q_c (z_0^ - z_0)^2 / sum_c q_c d_c^2``; ``z_0^`` from the frozen denoiser and the control.

    ``d`` is how far off ``z_0^`` may be before training, so that all timesteps have their say: in the published method,
    where nothing is known of the reference and all ``q_c`` are 1, this is the loss of the noise. ``q_c`` says how much
    a latent channel changes the image: after scaling to unit variance some channels matter thirty times more than
    others, and a loss that weighs them equally falls while the image gets worse. ``w = 1 + w_edge G(x) / mean G(x)`` on
    the latent grid makes it edge-sensitive. Now and then the edges are left out of the hint, so that the network works
    without them too and what they bring can be measured.

    `prepare` sets `reference_variance`, (C,), of E(r) about E(x) (see `CleanPrediction`), and `channel_weights`, ``q``.
    """

    kind = CONTROL
    parents = (AUTOENCODER, EDGE_AUTOENCODER, COVARIATES, DENOISER)
    sections: ClassVar = ("fine", "diffusion", "denoiser")
    reference_variance: list[float] | None
    channel_weights: list[float]

    @property
    def timesteps(self) -> int:
        """The control is trained up to `max_timestep`."""
        return self.config.fine.max_timestep + 1

    @property
    def inputs(self) -> list[Path]:
        """Coarse results too."""
        return [*super().inputs, self.layout.coarse_folder]

    @property
    def chances(self) -> list[float]:
        """Of drawing each case: the weight of its code."""
        return [self.config.fine.code_weights[case.code] for case in self._cases()]

    def prepare(self, dtype: torch.dtype) -> None:
        """Encode the cases of training and validation subjects; load the networks that stay as they are."""
        self.dtype, layout, config = dtype, self.layout, self.config
        cases, held_out = self._cases(), [CoarseCase(subject, VALIDATED_CODE) for subject in self.validation_subjects]
        latents = case_latents(layout, [*cases, *held_out], config.autoencoder.downsampling)
        covariates = case_covariates(layout, [*cases, *held_out])
        self.examples = [latents[case] | covariates[case] for case in cases]
        self.held_out = [latents[case] | covariates[case] for case in held_out]
        self.reference_variance = _reference_variance(self.held_out) if config.fine.anchored else None
        self.channel_weights = [1.0] * config.autoencoder.latent_channels
        if config.fine.channel_weights == "decoder":
            self.channel_weights = channel_sensitivity(load_autoencoder(layout), self.held_out[0]["latent"])
        self.frozen = {kind: load_fine(layout.weights(kind), kind)[0] for kind in self.parents}
        self.denoiser = Frozen(self.frozen[DENOISER], dtype)

    def network(self) -> HintControl:
        """Return a control whose encoder is the denoiser's."""
        network = HintControl(self.config.denoiser, self.config.autoencoder.latent_channels, self.reference_variance)
        network.copy_encoder(cast(Denoiser, self.frozen[DENOISER]))
        return network

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the loss, and the part of it that does not weigh edges."""
        timestep, covariates, hint = batch["timestep"], batch["covariates"], self._hint(batch)
        noisy = self.noise_schedule.add_noise(batch["latent"], batch["noise"], timestep)
        steered = self.denoiser(noisy, timestep, covariates, network(noisy, timestep, covariates, hint)).float()
        prediction = CleanPrediction(self.noise_schedule, self.reference_variance)
        is_anchored = prediction.reference_variance is not None
        noise = self.denoiser(noisy, timestep, covariates, None).float() if is_anchored else None
        predicted = prediction(steered, noise, noisy, timestep, hint.chunk(2, dim=1)[0])
        channels = torch.tensor(self.channel_weights, dtype=torch.float32).view(1, -1, 1, 1, 1).to(noisy.device)
        spread = prediction.spread(timestep, noisy)
        unit = ((channels * spread**2).mean(dim=1, keepdim=True) / channels).sqrt()
        pair = predicted / unit, batch["latent"] / unit
        weights = 1 + self.config.fine.edge_weight * (batch["edges"] - 1)
        return weighted_square_loss(*pair, weights), {"unweighted": weighted_square_loss(*pair).detach()}

    def validate(self, network: nn.Module, step: int) -> Validation:
        """Enhance validation subjects from end to end; report the metrics of coarse and fine volumes, and the loss.

        The score is the mean PSNR inside the brain; of the published form, which is sampled in many more steps from
        noise, minus the loss.
        """
        metrics = self.held_out_loss(network)
        config, subjects = self.config, self.validation_subjects
        net, sampling = self._fine_net(cast(HintControl, network)), _validation_sampling(config.fine.max_timestep)
        for subject in subjects:
            coarse, clean = (volume.data for volume in load_pair(self.layout, subject, VALIDATED_CODE))
            volumes = {"coarse": coarse, "fine": net.restore(coarse, sampling).data}
            brain_mask = load_mask(self.layout.brain_mask(subject))
            for stage, volume in volumes.items():
                for name, metric in _METRICS.items():
                    key = f"val.{name}_brain.{stage}"
                    metrics[key] = metrics.get(key, 0.0) + metric(volume, clean, brain_mask) / len(subjects)
            if subject == subjects[0]:
                figure = panel({"clean": clean, **volumes}, f"{subject}, code {VALIDATED_CODE}, step {step}")
        score = metrics["val.psnr_brain.fine"] if config.fine.anchored else -metrics["val.loss"]
        return Validation(score, metrics, figure)

    def spec(self, network: nn.Module) -> Spec:
        """Return the control's sizes, and what it was trained for."""
        return {
            "config": self.config.denoiser.model_dump(mode="json"),
            "latent_channels": self.config.autoencoder.latent_channels,
            "reference_variance": cast(HintControl, network).reference_variance,
            "max_timestep": self.config.fine.max_timestep,
        }

    def decisive(self) -> list[Any]:
        """Return also the coarse results."""
        digests = coarse_digests(self.layout, self.all_subjects, case_codes(self.config.fine))
        return [*super().decisive(), digests]

    def _cases(self) -> list[CoarseCase]:
        """Return the cases to train on."""
        codes = [code for code, weight in self.config.fine.code_weights.items() if weight > 0]
        return [
            CoarseCase(subject, code, is_mirrored)
            for subject in self.split["train"]
            for code in codes
            for is_mirrored in (False, True)
        ]

    def _hint(self, batch: Batch) -> Tensor:
        """Return the hint, its edges left out where the batch's die says so."""
        hint = batch["hint"]
        if "die" not in batch:
            return hint
        image, edges = hint.chunk(2, dim=1)
        is_kept = (batch["die"] >= self.config.fine.edge_dropout).view(-1, 1, 1, 1, 1)
        return torch.cat([image, edges * is_kept], dim=1)

    def _fine_net(self, control: HintControl) -> FineNet:
        """Return the second stage with a control in training."""
        device = next(control.parameters()).device
        frozen = {kind: network.to(device) for kind, network in self.frozen.items()}
        return FineNet(
            TorchNetworks.of(frozen | {CONTROL: control}, self.dtype),
            self.noise_schedule,
            control.reference_variance,
            self.config.fine.max_timestep,
            self.config.grid.spacing_mm,
        )


def _reference_variance(held_out: Sequence[Example]) -> list[float]:
    """Return the mean square of E(r) - E(x) by channel, inside the head, where the Coarse-net was not trained."""
    squares = []
    for example in held_out:
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
