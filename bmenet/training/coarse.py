"""Train the Coarse-net on slices of stored and of fresh cases."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from bmenet.config import CoarseConfig, Config
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.volume import load_mask, load_unit_volume
from bmenet.losses import CoarseLoss
from bmenet.networks.coarse import COARSE, build_coarse, load_coarse
from bmenet.networks.field import FIELD
from bmenet.networks.weights import Spec, weights_digest
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.field import FieldFinder
from bmenet.runtime.errors import ConfigError, VolumeError
from bmenet.runtime.files import read_json
from bmenet.training.batches import Cases, FreshCases, MixedCases, SliceBatches, StoredCases, stored_phase_encode_axis
from bmenet.training.engine.task import Batch, Loss, Split, Task, Validation

VALIDATED_CODES = ("111", "000")
"""Everything at once, whose PSNR ranks the weights; and nothing, which must come out as it went in."""

_METRICS = {"psnr": (psnr, False), "psnr_brain": (psnr, True), "ssim": (ssim, False)}
"""Name to function, and whether only the brain counts; not the table of `bmenet.evaluation.metrics`, whose growth
must not train a network again."""


class CoarseTask(Task):
    """Restore slices of degraded volumes; a ConfigError where `code_weights` names a code that is not degraded."""

    kind = COARSE
    parents = (FIELD,)
    sections: ClassVar = ("coarse", "intensity")

    def __init__(self, config: Config, layout: Layout, split: Split) -> None:
        super().__init__(config, layout, split)
        trained = {code for code, weight in config.coarse.code_weights.items() if weight > 0}
        stored = {"000", *config.degradation.codes}
        online = config.coarse.degradations == "online"
        needed = set(VALIDATED_CODES) if online else {*VALIDATED_CODES, *trained}
        if missing := sorted(needed - stored):
            raise ConfigError(
                f"degradation.codes: expected the codes that coarse.code_weights trains on and 111 to validate on;"
                f" {missing} are missing; add them"
            )

    @property
    def shared(self) -> CoarseConfig:
        """The Coarse-net has these keys in a section of its own."""
        return self.config.coarse

    @property
    def inputs(self) -> list[Path]:
        """Clean and degraded volumes, the split, and the field network."""
        return [self.layout.degraded_folder, *super().inputs]

    def prepare(self, dtype: torch.dtype) -> None:
        """Note the number format and load the field network; cases are read when they are drawn."""
        self.dtype = dtype
        self.field = FieldFinder.from_folder(self.layout.weights(FIELD))
        self.coarse_loss = CoarseLoss(self.steps)

    def network(self) -> nn.Module:
        """Return an untrained network, or the one that `coarse.start_from` names; a ConfigError for another shape."""
        coarse = self.steps
        network = build_coarse(coarse)
        if coarse.start_from is not None:
            start, _ = load_coarse(coarse.start_from)
            try:
                network.load_state_dict(start.state_dict())
            except RuntimeError as error:
                raise ConfigError(
                    f"coarse.start_from: expected a network of coarse.arch, coarse.{coarse.arch} and context_slices as"
                    f" params.yaml has them; {coarse.start_from} is another one: change either"
                ) from error
        return network

    def batches(self) -> SliceBatches:
        """Return batches of slices of the cases that `coarse.degradations` names."""
        return SliceBatches(self._cases(), self.steps, self.config.seed)

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the weighted sum of the losses of pixels, structure and edges, and its terms."""
        slab = batch["slab"].contiguous(memory_format=torch.channels_last)
        return self.coarse_loss(network(slab), batch["clean"])

    def validate(self, network: nn.Module, step: int) -> Validation:
        """Restore whole volumes as inference does; the score is the PSNR of code 111.

        Metrics are means over subjects, named ``val.<metric>.<code>``.
        """
        field = self.field.on(next(network.parameters()).device)
        net = CoarseNet(network, self.steps, self.config.grid.spacing_mm, self.dtype, field)
        subjects = self.validation_subjects
        sums = {f"val.{metric}.{code}": 0.0 for metric in _METRICS for code in VALIDATED_CODES}
        for subject in subjects:
            clean = load_unit_volume(self.layout.clean(subject)).data
            brain_mask = load_mask(self.layout.brain_mask(subject))
            for code in VALIDATED_CODES:
                degraded = load_unit_volume(self.layout.case_input(subject, code)).data
                axis = stored_phase_encode_axis(self.layout, subject, code)
                coarse = net.restore(degraded, phase_encode_axis=axis)
                for metric, (function, inside_brain) in _METRICS.items():
                    sums[f"val.{metric}.{code}"] += function(coarse, clean, brain_mask if inside_brain else None)
                if (subject, code) == (subjects[0], VALIDATED_CODES[0]):
                    volumes = {"clean": clean, "degraded": degraded, "coarse": coarse}
                    figure = panel(volumes, f"{subject}, code {code}, step {step}")
        means = {name: total / len(subjects) for name, total in sums.items()}
        return Validation(means[f"val.psnr.{VALIDATED_CODES[0]}"], means, figure)

    def spec(self, network: nn.Module) -> Spec:
        """Return the section of the Coarse-net."""
        return {"config": self.steps.model_dump(mode="json")}

    def decisive(self) -> list[Any]:
        """Return the severity, the first network, and the volumes, by the checksums in the sidecars of their cases."""
        config = self.config
        sidecars = [
            _read_sidecar(self.layout.degraded(subject, code).with_suffix(".json"))
            for subject in self.all_subjects
            for code in config.degradation.codes
        ]
        return [
            config.degradation.preset.model_dump(mode="json"),
            _start_digest(self.steps.start_from),
            [[sidecar[key] for key in ("clean_sha256", "sha256")] for sidecar in sidecars],
        ]

    def _cases(self) -> Cases | MixedCases:
        """Return the source of training cases."""
        coarse, spacing_mm, subjects = self.steps, self.config.grid.spacing_mm, self.split["train"]
        stored = StoredCases(self.layout, subjects, coarse, spacing_mm)
        if coarse.degradations == "precomputed":
            return stored
        preset = self.config.degradation.preset
        fresh = FreshCases(self.layout, subjects, coarse, spacing_mm, preset, self.config.seed)
        return fresh if coarse.degradations == "online" else MixedCases(stored, fresh)


def _start_digest(folder: str | None) -> str | None:
    """Return the checksum of the network that training goes on from."""
    if folder is None:
        return None
    try:
        return weights_digest(folder)
    except OSError as error:
        raise ConfigError(
            f"coarse.start_from: expected the folder of a trained Coarse-net; got {folder} ({error.strerror}); run"
            " `make base`, or set it to null and train for longer"
        ) from error


def _read_sidecar(path: Path) -> dict[str, Any]:
    """Read the sidecar of a degraded volume."""
    try:
        return read_json(path)
    except FileNotFoundError:
        raise VolumeError(f"{path}: no such file; run the stage degrade first") from None
