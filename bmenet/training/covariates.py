"""Train the covariate encoder: on what is known, and through the frozen denoiser's loss."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from bmenet.losses.denoising import weighted_square_loss
from bmenet.networks.covariate_encoder import COVARIATES as NAMES
from bmenet.networks.covariate_encoder import RANGES, CovariateEncoder
from bmenet.networks.fine_weights import AUTOENCODER, COVARIATES, DENOISER, load_fine
from bmenet.networks.weights import Spec
from bmenet.restoration.coarsen import case_codes
from bmenet.training.engine.task import Batch, Loss, Validation
from bmenet.training.known_covariates import subject_covariates
from bmenet.training.latents import CoarseCase, clean_latents
from bmenet.training.noise import Example, Frozen, NoiseTask
from bmenet.training.subjects import coarse_digests

_SEEN_MM = 4
"""The encoder sees volumes averaged to voxels of this edge."""


class CovariatesTask(NoiseTask):
    """Minimise ``w_s |c^ - c|^2`` where c is known, plus ``w_d |epsilon^(z_t, t, c^) - epsilon|^2``."""

    kind = COVARIATES
    parents = (AUTOENCODER, DENOISER)
    sections: ClassVar = ("covariates", "diffusion", "denoiser")

    @property
    def reduction(self) -> int:
        """Voxels along the edge of the blocks that are averaged."""
        return _SEEN_MM // self.config.grid.spacing_mm

    def prepare(self, dtype: torch.dtype) -> None:
        """Read coarse results, latents and what is known of the subjects; load the denoiser."""
        self.dtype = dtype
        denoiser, spec = load_fine(self.layout.weights(DENOISER), DENOISER)
        self.denoiser, self.informed = Frozen(denoiser, dtype), spec["informed"]
        self.examples, self.held_out = map(self._examples, (self.split["train"], self.validation_subjects))

    def network(self) -> CovariateEncoder:
        """Return an untrained encoder that answers what the denoiser knows what to do with."""
        return CovariateEncoder(self.reduction, self.config.covariates.width, self.informed)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the weighted sum and its unweighted terms."""
        covariates = network(batch["seen"])
        is_known = batch["is_known"]
        squares = (covariates.float() - batch["covariates"]) ** 2 * is_known
        terms = {"supervised": squares.sum() / is_known.sum().clamp_min(1)}
        config = self.config.covariates
        if config.denoising_weight > 0:
            noisy = self.noise_schedule.add_noise(batch["latent"], batch["noise"], batch["timestep"])
            predicted = self.denoiser(noisy, batch["timestep"], covariates)
            terms["denoising"] = weighted_square_loss(predicted, batch["noise"])
        weights = {"supervised": config.supervised_weight, "denoising": config.denoising_weight}
        total = sum((weights[name] * term for name, term in terms.items()), start=squares.new_zeros(()))
        return total, {name: term.detach() for name, term in terms.items()}

    @torch.no_grad()
    def validate(self, network: nn.Module, step: int) -> Validation:
        """Return minus the loss; ``val.error.<covariate>``, the mean absolute error of each that is known; a plot."""
        metrics = self.held_out_loss(network)
        device = next(network.parameters()).device
        predicted = torch.stack([network(example["seen"][None].to(device))[0].cpu() for example in self.held_out])
        known = torch.stack([example["is_known"] for example in self.held_out]) > 0
        true = torch.stack([example["covariates"] for example in self.held_out])
        pairs = {
            name: (true[known[:, place], place].numpy(), predicted[known[:, place], place].numpy())
            for place, name in enumerate(NAMES)
            if known[:, place].any()
        }
        metrics |= {f"val.error.{name}": float(np.abs(told - found).mean()) for name, (told, found) in pairs.items()}
        return Validation(-metrics["val.loss"], metrics, _figure(pairs, f"step {step}"))

    def spec(self, network: nn.Module) -> Spec:
        """Return the encoder's sizes, and what its numbers stand for."""
        return {
            "reduction": self.reduction,
            "width": self.config.covariates.width,
            "informed": cast(CovariateEncoder, network).informed.tolist(),
            "ranges": self.config.covariates.model_dump(mode="json", include=set(RANGES)),
        }

    def decisive(self) -> list[Any]:
        """Return also the coarse results, and what is known about subjects and how it is measured."""
        codes = case_codes(self.config.fine)
        return [
            *super().decisive(),
            self.split["covariates"],
            codes,
            coarse_digests(self.layout, self.all_subjects, codes),
        ]

    def _examples(self, subjects: list[str]) -> list[Example]:
        """Return an example for every case of the subjects."""
        latents = clean_latents(self.layout, subjects)
        encoder = CovariateEncoder(self.reduction)
        examples: list[Example] = []
        for subject in subjects:
            scaled = subject_covariates(self.config, self.layout, self.split["covariates"], subject)
            for code in case_codes(self.config.fine):
                coarse, _ = CoarseCase(subject, code).load(self.layout)
                examples.append(
                    {
                        "latent": latents[subject]["latent"],
                        "seen": encoder.reduce(coarse)[0],
                        "covariates": torch.from_numpy(scaled.values),
                        "is_known": torch.from_numpy(scaled.is_known).float(),
                    }
                )
        return examples


def _figure(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """Plot predicted against known covariates, each in [0, 1], a panel each."""
    figure = Figure(figsize=(3 * max(len(pairs), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    panels = figure.subplots(1, max(len(pairs), 1), squeeze=False)[0]
    for axes, (name, (known, predicted)) in zip(panels, pairs.items(), strict=False):
        axes.plot([0, 1], [0, 1], color="grey", lw=1)
        axes.plot(known, predicted, ".", color="tab:blue")
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="known", title=name)
    return figure
