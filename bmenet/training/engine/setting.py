"""What every training of the second stage is given, and the schedule and lineage that follow from it."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from bmenet.config import Config, StepsConfig
from bmenet.data.layout import Layout
from bmenet.networks.weights import SPEC_FILE
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.files import sha256
from bmenet.tracking import NullLogger
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.schedule import Schedule


@dataclass(frozen=True)
class Setting:
    """The configuration, the workspace, the subjects and the logger of a training.

    Parameters
    ----------
    config : Config
    layout : Layout
    split : dict
        ``train``, ``validation``: lists of subjects; ``covariates``: subject to age and sex.
    logger : NullLogger
    """

    config: Config
    layout: Layout
    split: dict[str, Any]
    logger: NullLogger = field(default_factory=NullLogger)

    def with_logger(self, logger: NullLogger) -> "Setting":
        """Return the same setting with another logger."""
        return replace(self, logger=logger)

    def require_subjects(self) -> None:
        """Check that there is something to train and to validate on."""
        for name in ("train", "validation"):
            if not self.split[name]:
                raise ConfigError(
                    f"split.{name}: expected at least one subject; got none; raise split.{name} in params.yaml"
                )

    @property
    def all_subjects(self) -> list[str]:
        """Those of training and of validation."""
        return [*self.split["train"], *self.split["validation"]]

    @property
    def validation_subjects(self) -> list[str]:
        """The validation subjects in use."""
        return self.split["validation"][: self.config.training.validation_volumes]

    def schedule(self, steps: StepsConfig) -> Schedule:
        """Return the schedule of a training."""
        shared = self.config.training.model_dump(include=set(Schedule.__dataclass_fields__))
        own = steps.model_dump(include=set(Schedule.__dataclass_fields__))
        return Schedule(**shared, **own, log_every=self.config.tracking.log_every)

    def weights_digest(self, kind: str) -> str:
        """Return the SHA-256 of a network's ``model.json``, which holds that of its weights."""
        return sha256(self.layout.weights(kind) / SPEC_FILE)

    def parents(self, *kinds: str) -> dict[str, str]:
        """Return the networks that one was trained with, and their digests: what its weights are kept with."""
        return {kind: self.weights_digest(kind) for kind in kinds}

    def signature(self, *decisive: Any) -> str:
        """Return a fingerprint of all that decides the trained weights: `decisive`, and what all trainings share."""
        shared = {
            "seed": self.config.seed,
            "grid": self.config.grid.model_dump(mode="json"),
            "training": self.config.training.model_dump(mode="json", exclude={"workers"}),
            "split": {name: list(self.split[name]) for name in ("train", "validation")},
        }
        text = json.dumps([shared, decisive], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def clean_digests(self) -> list[str]:
        """Return the SHA-256 of the clean volumes of training and validation subjects."""
        return [sha256(self.layout.clean(subject)) for subject in self.all_subjects]

    def checkpoints(self, name: str, signature: str) -> CheckpointFolder:
        """Return where a training keeps its state."""
        return CheckpointFolder(self.layout.checkpoints(name), signature)
