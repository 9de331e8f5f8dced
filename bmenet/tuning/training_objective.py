"""Scope `training`: a short training of one network, then the volumes that it makes."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from filelock import FileLock, Timeout
from optuna import TrialPruned

from bmenet.config import Config, flatten
from bmenet.data.layout import Layout
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.networks.control import HintControl
from bmenet.networks.field import FIELD
from bmenet.networks.fine_weights import CONTROL, load_fine
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.field import FieldFinder
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.torch_networks import TorchNetworks
from bmenet.runtime.logger import Logger, NullLogger
from bmenet.training.coarse import CoarseTask
from bmenet.training.control import ControlTask
from bmenet.training.engine.trainer import Trained, Trainer
from bmenet.tuning.objective import Case, Outcome, Report
from bmenet.tuning.plan import Plan
from bmenet.tuning.sampling_objective import clock, timed_restore

_SCORES = ("val.psnr_brain.111", "val.psnr_brain.fine")
"""What a training's own validations measure, of the Coarse-net and of the second stage: by it a trial is pruned."""


class TrainingObjective:
    """Train, reporting each validation, and restore every validation case with the best weights.

    The state of a trial's training lies in the study's folder under a name made from its values, so a trial that was
    interrupted goes on, and the workspace's own checkpoints stay as they are. Two live runs of the same values, such as
    of a trial that was taken for dead and its second try, have a folder each.

    Parameters
    ----------
    device : torch.device
        Of the restoration; training runs where accelerate puts it.
    """

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        self.device = device
        self.cases = [Case(plan, *case) for case in plan.cases]

    def __call__(self, config: Config, report: Report) -> Outcome:
        """Return what networks trained with `config` reach."""
        config = shortened(config)
        values = json.dumps({key: flatten(config)[key] for key in sorted(config.tune.space)})
        folder = self.plan.folder / "checkpoints" / hashlib.sha256(values.encode()).hexdigest()[:16]
        with _own(folder) as folder:
            layout = _TrialLayout(self.plan.layout.root, folder)
            try:
                outcome = self._train_and_restore(config, layout, _Reporter(report))
            except TrialPruned:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            shutil.rmtree(folder, ignore_errors=True)
            return outcome

    def _train_and_restore(self, config: Config, layout: Layout, logger: Logger) -> Outcome:
        split = {"train": list(self.plan.train), "validation": list(self.plan.validation), "covariates": {}}
        outcome = Outcome()
        if self.plan.is_fine:
            net = self._fine_net(config, Trainer(ControlTask(config, layout, split), logger).train())
            for case in self.cases:
                outcome.add(case, *timed_restore(net, case.given.data, config))
        else:
            network = Trainer(CoarseTask(config, layout, split), logger).train().network.to(self.device)
            field = FieldFinder.from_folder(layout.weights(FIELD), self.device)
            coarse_net = CoarseNet(network, config.coarse, config.grid.spacing_mm, field=field)
            for case in self.cases:
                start = clock(self.device.type)
                restored = coarse_net.restore(case.given.data)
                outcome.add(case, restored, clock(self.device.type) - start)
        return outcome

    def _fine_net(self, config: Config, trained: Trained) -> FineNet:
        """Return the second stage with the control that was just trained."""
        weights = self.plan.layout.weights
        networks = {kind: load_fine(weights(kind), kind)[0].to(self.device) for kind in ControlTask.parents}
        control = cast(HintControl, trained.network.to(self.device))
        return FineNet(
            TorchNetworks.of(networks | {CONTROL: control}),
            NoiseSchedule(config.diffusion),
            control.reference_variance,
            config.fine.max_timestep,
            config.grid.spacing_mm,
        )


def shortened(config: Config) -> Config:
    """Return the configuration with the length of a trial's training; its learning rate falls over that length."""
    training = config.tune.training
    section = getattr(config, training.network)
    changes = {"steps": training.steps, "validate_every": training.validate_every}
    changes["checkpoint_every"] = training.validate_every
    return config.model_copy(update={training.network: section.model_copy(update=changes)})


@contextmanager
def _own(folder: Path) -> Iterator[Path]:
    """Yield a folder that no other living run has: this one, or else one with a number behind its name."""
    for number in itertools.count():
        chosen = folder.with_name(f"{folder.name}-{number}") if number else folder
        lock = FileLock(chosen / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        try:
            yield chosen
        finally:
            lock.release()
        return


@dataclass(frozen=True)
class _TrialLayout(Layout):
    """A workspace in which trainings keep their state elsewhere."""

    folder: Path = Path()

    def checkpoints(self, name: str) -> Path:
        """Return the resumable training state of a network."""
        return self.folder / name


class _Reporter(NullLogger):
    """A logger that listens for the score of validations: the training knows of no trial."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Report a validation; may raise what ends the trial."""
        for name in _SCORES:
            if name in values and step is not None and np.isfinite(values[name]):
                self._report(step, values[name])
