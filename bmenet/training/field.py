"""Train the field network: heads at 4 mm, each degraded anew, whose coil is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.degradation import bias_field
from bmenet.degradation.field_case import FieldCase, field_case
from bmenet.degradation.fresh_case import Anatomy
from bmenet.evaluation.panel import panel
from bmenet.imaging.homogeneity import averaged
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume
from bmenet.networks.compute import autocast
from bmenet.networks.field import FIELD, FieldNet
from bmenet.networks.weights import Spec
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.files import read_json, sha256
from bmenet.runtime.seeding import generator
from bmenet.training.engine.task import Batch, Loss, Split, Task, Validation

VALIDATED_CODES = ("111", "001")
"""Those of the presets that have a field: with all that hides it, and alone."""

_WEIGHT_BEYOND_BRAIN = 0.2


class FieldTask(Task):
    """Minimise the mean absolute error of the log-field over the head, less its mean in the brain.

    A ConfigError where a code to validate on is not degraded.
    """

    kind = FIELD
    sections: ClassVar = ("field",)

    def __init__(self, config: Config, layout: Layout, split: Split) -> None:
        super().__init__(config, layout, split)
        if missing := sorted(set(VALIDATED_CODES) - set(config.degradation.codes)):
            raise ConfigError(
                f"degradation.codes: expected the codes that the field network is validated on; {missing} are missing;"
                " add them"
            )

    @property
    def inputs(self) -> list[Path]:
        """Clean and degraded volumes, and the split."""
        return [self.layout.degraded_folder, *super().inputs]

    def prepare(self, dtype: torch.dtype) -> None:
        """Read the clean heads."""
        self.dtype = dtype
        self.heads = [_load_head(self.layout, subject) for subject in self.split["train"]]

    def network(self) -> nn.Module:
        """Return an untrained network."""
        return FieldNet(self.config.field)

    def batches(self) -> "FieldBatches":
        """Return batches of fresh cases."""
        return FieldBatches(self.heads, self.config.field.batch_size, self.config.seed)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the weighted mean absolute error, and the root mean square error in the brain."""
        error = error_of(network(batch["head"]), batch["log_field"], batch["brain"])
        weight = batch["brain"] + _WEIGHT_BEYOND_BRAIN * batch["tissue"] * (1 - batch["brain"])
        total = (error.abs() * weight).sum() / weight.sum()
        in_brain = ((error**2 * batch["brain"]).sum() / batch["brain"].sum()).sqrt()
        return total, {"rms": in_brain.detach()}

    @torch.no_grad()
    def validate(self, network: nn.Module, step: int) -> Validation:
        """Return minus the root mean square of the log-field's error in the brain, over subjects and codes."""
        device = next(network.parameters()).device
        sums = {f"val.{metric}.{code}": 0.0 for metric in ("rms", "drawn") for code in VALIDATED_CODES}
        figure = None
        for subject in self.validation_subjects:
            head = _load_head(self.layout, subject)
            brain = torch.from_numpy(head.brain_mask)[None, None].float().to(device)
            for code in VALIDATED_CODES:
                path = self.layout.degraded(subject, code)
                seen = _seen(load_unit_volume(path))
                drawn = bias_field.log_field(
                    head.clean.data.shape, read_json(path.with_suffix(".json"))["parameters"]["bias"]["coefficients"]
                )
                with autocast(device, self.dtype):
                    found = network(torch.from_numpy(seen)[None, None].to(device)).float()
                true = torch.from_numpy(drawn)[None, None].to(device)
                for name, answer in (("rms", found), ("drawn", torch.zeros_like(true))):
                    error = error_of(answer, true, brain)
                    sums[f"val.{name}.{code}"] += float(((error**2 * brain).sum() / brain.sum()).sqrt())
                if figure is None:
                    told = found[0, 0].cpu().numpy()
                    evened = seen / np.exp(told - told[head.brain_mask].mean())
                    volumes = {"clean": _seen(head.clean), "degraded": seen, "field\ntaken out": evened}
                    figure = panel(volumes, f"{subject}, code {code}, step {step}")
        means = {name: total / len(self.validation_subjects) for name, total in sums.items()}
        score = -float(np.mean([means[f"val.rms.{code}"] for code in VALIDATED_CODES]))
        return Validation(score, means, figure)

    def spec(self, network: nn.Module) -> Spec:
        """Return the section of the field network."""
        return {"config": self.config.field.model_dump(mode="json")}

    def decisive(self) -> list[Any]:
        """Return the clean volumes, their brains, and the severity of the cases to validate on."""
        brains = [sha256(self.layout.brain_mask(subject)) for subject in self.all_subjects]
        return [*super().decisive(), brains, self.config.degradation.preset.model_dump(mode="json")]


@dataclass(frozen=True)
class FieldBatches(Dataset[Batch]):
    """Whole batches of fresh cases: item `index` is always the same one."""

    heads: list[Anatomy]
    batch_size: int
    seed: int

    def __getitem__(self, index: int) -> Batch:
        """Return ``head``, ``log_field``, ``brain`` and ``tissue``, each (B, 1, X, Y, Z), float32."""
        rng = generator(self.seed, "field batch", index)
        cases = [self._case(rng) for _ in range(self.batch_size)]
        return {name: _stacked([getattr(case, name) for case in cases]) for name in FieldCase._fields}

    def _case(self, rng: np.random.Generator) -> FieldCase:
        head = self.heads[rng.integers(len(self.heads))]
        return field_case(head, rng)


def error_of(found: Tensor, true: Tensor, brain: Tensor) -> Tensor:
    """Return the difference of two log-fields, (B, 1, X, Y, Z), with a mean of 0 in each brain."""
    error = found.float() - true
    axes = (1, 2, 3, 4)
    mean = (error * brain).sum(axes, keepdim=True) / brain.sum(axes, keepdim=True).clamp_min(1)
    return error - mean


def _load_head(layout: Layout, subject: str) -> Anatomy:
    """Read a registered subject's head and brain, averaged to 4 mm."""
    clean = load_unit_volume(layout.clean(subject))
    brain_mask = averaged(clean.with_data(load_mask(layout.brain_mask(subject)))).data > 0.5
    is_skull_stripped = read_json(layout.transform(subject))["is_skull_stripped"]
    return Anatomy(averaged(clean), brain_mask, is_skull_stripped)


def _seen(volume: Volume) -> np.ndarray:
    """Return what the network sees of a volume on the standard grid: at 4 mm, divided by its blind scale."""
    return averaged(volume).data / np.float32(blind_scale(volume.data, volume.grid.spacing_mm[0]))


def _stacked(volumes: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(volumes).astype(np.float32))[:, None]
