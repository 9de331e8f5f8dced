"""Train the covariate encoder: on what is known, and through the frozen denoiser's loss."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.covariates import COVARIATES, RANGES
from bmenet.networks.denoiser import denoiser_from_spec
from bmenet.networks.weights import Spec, load_weights
from bmenet.tracking import NullLogger
from bmenet.training.encode import clean_latents
from bmenet.training.engine.loader import Batch
from bmenet.training.engine.session import Trained
from bmenet.training.engine.setting import Setting
from bmenet.training.fine_cases import case_codes, coarse_digests, load_pair
from bmenet.training.frozen import Frozen
from bmenet.training.known_covariates import covariates_fingerprint, subject_covariates
from bmenet.training.noise_training import train_on_noise
from bmenet.training.noise_validation import NoiseValidation

_SEEN_MM = 4
"""The encoder sees volumes averaged to voxels of this edge."""

Example = dict[str, Tensor]


class CovariateObjective:
    """``w_s |c^ - c|^2`` where c is known, plus ``w_d |epsilon^(z_t, t, c^) - epsilon|^2``."""

    def __init__(self, setting: Setting, denoiser: Frozen) -> None:
        self.config = setting.config.covariates
        self.schedule = NoiseSchedule(setting.config.diffusion)
        self.denoiser = denoiser

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum and its unweighted terms."""
        covariates = network(batch["seen"])
        is_known = batch["is_known"]
        squares = (covariates.float() - batch["covariates"]) ** 2 * is_known
        terms = {"supervised": squares.sum() / is_known.sum().clamp_min(1)}
        if self.config.denoising_weight > 0:
            noisy = self.schedule.add_noise(batch["latent"], batch["noise"], batch["timestep"])
            predicted = self.denoiser(noisy, batch["timestep"], covariates)
            terms["denoising"] = weighted_square_loss(predicted, batch["noise"])
        weights = {"supervised": self.config.supervised_weight, "denoising": self.config.denoising_weight}
        total = sum((weights[name] * term for name, term in terms.items()), start=squares.new_zeros(()))
        return total, {name: term.detach() for name, term in terms.items()}


class CovariateValidation:
    """The loss, the mean absolute error of every covariate that is known, and a plot of them."""

    def __init__(self, examples: list[Example], losses: NoiseValidation, logger: NullLogger) -> None:
        self.examples = examples
        self.losses = losses
        self.logger = logger

    @torch.no_grad()
    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return minus the loss, and ``val.loss``, ``val.error.<covariate>`` on the scale of [0, 1]."""
        score, metrics = self.losses(network, step)
        device = next(network.parameters()).device
        predicted = torch.stack([network(example["seen"][None].to(device))[0].cpu() for example in self.examples])
        known = torch.stack([example["is_known"] for example in self.examples]) > 0
        true = torch.stack([example["covariates"] for example in self.examples])
        errors = (predicted - true).abs()
        for place, name in enumerate(COVARIATES):
            if known[:, place].any():
                metrics[f"val.error.{name}"] = float(errors[known[:, place], place].mean())
        pairs = {
            name: (true[known[:, place], place].numpy(), predicted[known[:, place], place].numpy())
            for place, name in enumerate(COVARIATES)
            if known[:, place].any()
        }
        self.logger.log_figure(covariates_figure(pairs, f"step {step}"), f"validation/step-{step:08d}.png")
        return score, metrics


def covariates_figure(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """Plot predicted against known covariates, a panel each.

    Parameters
    ----------
    pairs : mapping
        Name to known and predicted values, both of shape (N,), in [0, 1].
    title : str
    """
    figure = Figure(figsize=(3 * max(len(pairs), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, (name, (known, predicted)) in zip(
        figure.subplots(1, max(len(pairs), 1), squeeze=False)[0], pairs.items(), strict=False
    ):
        axes.plot([0, 1], [0, 1], color="grey", lw=1)
        axes.plot(known, predicted, ".", color="tab:blue")
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="known", title=name)
    return figure


def covariates_signature(setting: Setting) -> str:
    """Return a fingerprint of all that decides the covariate encoder's weights."""
    config = setting.config
    return setting.signature(
        *(section.model_dump(mode="json") for section in (config.covariates, config.diffusion, config.prior)),
        case_codes(config.fine),
        setting.split["covariates"],
        covariates_fingerprint(),
        [setting.weights_digest(kind) for kind in ("autoencoder", "prior")],
        setting.clean_digests(),
        coarse_digests(setting.layout, setting.all_subjects, case_codes(config.fine)),
    )


def describe_covariates(setting: Setting, network: nn.Module) -> Spec:
    """Return what the encoder's weights are kept with."""
    return {
        "reduction": _SEEN_MM // setting.config.grid.spacing_mm,
        "width": setting.config.covariates.width,
        "informed": cast(CovariateEncoder, network).informed.tolist(),
        "parents": setting.parents("autoencoder", "prior"),
        "ranges": setting.config.covariates.model_dump(mode="json", include=set(RANGES)),
    }


def train_covariates(setting: Setting, signature: str) -> Trained:
    """Train on the coarse results of the training subjects."""
    setting.require_subjects()
    config = setting.config
    reduction = _SEEN_MM // config.grid.spacing_mm
    denoiser, spec = load_weights(setting.layout.weights("prior"), "prior", denoiser_from_spec)
    examples = _examples(setting, setting.split["train"], reduction)
    held_out = _examples(setting, setting.validation_subjects, reduction)
    return train_on_noise(
        "covariates",
        setting,
        signature,
        steps=config.covariates,
        examples=examples,
        held_out=held_out,
        timesteps=config.diffusion.timesteps,
        build=lambda: CovariateEncoder(reduction, config.covariates.width, spec["informed"]),
        objective=lambda dtype: CovariateObjective(setting, Frozen(denoiser, dtype)),
        validation=lambda losses, _: CovariateValidation(held_out, losses, setting.logger),
    )


def _examples(setting: Setting, subjects: list[str], reduction: int) -> list[Example]:
    """Return an example for every case of the subjects."""
    latents = clean_latents(setting, subjects)
    encoder = CovariateEncoder(reduction)
    examples = []
    for subject in subjects:
        scaled = subject_covariates(setting.config, setting.layout, setting.split["covariates"], subject)
        for code in case_codes(setting.config.fine):
            coarse, _ = load_pair(setting.layout, subject, code)
            examples.append(
                {
                    "latent": latents[subject]["latent"],
                    "seen": encoder.reduce(torch.from_numpy(coarse.data)[None, None])[0],
                    "covariates": torch.from_numpy(scaled.values),
                    "is_known": torch.from_numpy(scaled.is_known).float(),
                }
            )
    return examples
