"""What is particular to the training of one network: a class a network, of which the `Trainer` asks the rest."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from accelerate import Accelerator
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.weights import Spec, weights_digest
from bmenet.runtime.cache import join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.files import sha256
from bmenet.runtime.threads import use_one_thread
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.state import Schedule

Batch = dict[str, Tensor]

Split = dict[str, Any]
"""``train``, ``validation`` and ``test``: lists of subjects; ``covariates``: subject to age and sex."""

Loss = tuple[Tensor, dict[str, Tensor]]
"""The total, and its named terms without their gradient."""

_AHEAD = 24
"""Batches that a loader process keeps ready: a fresh case takes as long as many steps, which must not wait for it."""
_NOT_DECISIVE = {"workers", "checkpoint_every"}
"""Keys of sections that leave the trained weights as they are."""


class Validation(NamedTuple):
    """How good a network is: a score, higher is better, metrics by name, and a picture."""

    score: float
    metrics: dict[str, float]
    figure: Figure | None = None


class Task(ABC):
    """A network, its batches, its loss, its validation, and what its weights are kept with.

    Making one is cheap: volumes are read by `prepare`.

    Attributes
    ----------
    kind : str
        Of network: names its weights, its checkpoints and its stage, ``train_<kind>``.
    parents : tuple of str
        The kinds of trained networks that it builds on.
    sections : tuple of str
        Of the configuration, that decide the weights; the first says how long and how fast the network learns.

    Raises
    ------
    ConfigError
        If there is nothing to train or to validate on.
    """

    kind: ClassVar[str]
    parents: ClassVar[tuple[str, ...]] = ()
    sections: ClassVar[tuple[str, ...]]

    def __init__(self, config: Config, layout: Layout, split: Split) -> None:
        self.config, self.layout, self.split = config, layout, split
        for name in ("train", "validation"):
            if not split[name]:
                raise ConfigError(
                    f"split.{name}: expected at least one subject; got none; raise split.{name} in params.yaml"
                )

    @abstractmethod
    def prepare(self, dtype: torch.dtype) -> None:
        """Read what batches, loss and validation need; `dtype` is the number format of the forward pass."""

    @abstractmethod
    def network(self) -> nn.Module:
        """Return the network before its first step, on the CPU."""

    @abstractmethod
    def batches(self) -> Dataset[Batch]:
        """Return whole batches: item `index` is always the same one."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Return the loss of a batch."""

    @abstractmethod
    def validate(self, network: nn.Module, step: int) -> Validation:
        """Return how good the averaged network is after `step` steps."""

    @abstractmethod
    def spec(self, network: nn.Module) -> Spec:
        """Return all that is needed to build the trained network again: what its weights are kept with."""

    def decisive(self) -> list[Any]:
        """Return what, beside seed, grid, split and `sections`, decides the weights, as JSON can say it."""
        return [self.config.training.model_dump(mode="json", exclude={"workers"}), self.clean_digests()]

    @property
    def steps(self) -> Any:
        """The first of `sections`."""
        return getattr(self.config, self.sections[0])

    @property
    def shared(self) -> Any:
        """What several trainings have in common: number format, loader processes, validation volumes."""
        return self.config.training

    @property
    def inputs(self) -> list[Path]:
        """Files and folders that the training reads."""
        return [self.layout.registered, self.layout.split, *map(self.layout.weights, self.parents)]

    @property
    def schedule(self) -> Schedule:
        """When things happen, and how fast the network learns."""
        names = set(Schedule.__dataclass_fields__)
        values = self.shared.model_dump(include=names) | self.steps.model_dump(include=names)
        return Schedule(**values, log_every=self.config.tracking.log_every)

    @property
    def precision(self) -> str:
        """Of the forward pass: ``auto``, ``fp32`` or ``bf16``."""
        return self.shared.precision

    @property
    def workers(self) -> int:
        """Processes that make batches."""
        return self.shared.workers

    @cached_property
    def signature(self) -> str:
        """A fingerprint of all that decides the trained weights; a checkpoint is resumed only under the same."""
        modules = [kind.__module__ for kind in type(self).__mro__ if kind.__module__.startswith("bmenet.")]
        shared = {
            "seed": self.config.seed,
            "sections": [
                getattr(self.config, name).model_dump(mode="json", exclude=_NOT_DECISIVE)
                for name in ("grid", *self.sections)
            ],
            "parents": self.parent_digests(),
            "code": code_hash(*modules),
            "split": {name: list(self.split[name]) for name in ("train", "validation")},
        }
        return join_key(shared, self.decisive())

    @property
    def checkpoints(self) -> CheckpointFolder:
        """Where the state of the training is kept."""
        return CheckpointFolder(self.layout.checkpoints(self.kind), self.signature)

    @property
    def all_subjects(self) -> list[str]:
        """Those of training and of validation."""
        return [*self.split["train"], *self.split["validation"]]

    @property
    def validation_subjects(self) -> list[str]:
        """The validation subjects in use."""
        return self.split["validation"][: self.shared.validation_volumes]

    def parent_digests(self) -> dict[str, str]:
        """Return the networks that it builds on, and their digests: part of what its weights are kept with."""
        return {kind: weights_digest(self.layout.weights(kind)) for kind in self.parents}

    def clean_digests(self) -> list[str]:
        """Return the SHA-256 of the clean volumes and brain masks of training and validation subjects."""
        files = [(self.layout.clean(subject), self.layout.brain_mask(subject)) for subject in self.all_subjects]
        return [sha256(path) for pair in files for path in pair]


def batch_loader(
    batches: Dataset[Batch], start: int, steps: int, workers: int, accelerator: Accelerator | None = None
) -> DataLoader[Batch]:
    """Load batches for training steps [start, steps), made ahead by `workers` processes.

    Of every step's batches, one a process of `accelerator`, this process gets its own.
    """
    rank, ranks = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(start * ranks + rank, steps * ranks, ranks),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_use_one_thread,
    )


def _use_one_thread(_worker: int) -> None:
    use_one_thread()
