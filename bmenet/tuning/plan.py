"""What a study is about: the volumes, the weights and the settings that all its trials have in common."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.field import FIELD
from bmenet.networks.fine_weights import KINDS
from bmenet.networks.weights import SPEC_FILE
from bmenet.restoration.coarsen import case_codes
from bmenet.runtime.cache import join_key
from bmenet.runtime.errors import ConfigError, VolumeError, WeightsError
from bmenet.runtime.files import read_json, sha256
from bmenet.tuning.search_space import require_space

STORAGE_VARIABLE = "BMENET_STUDIES"
"""Where studies are kept is a matter of place, and a URL may hold a password: no key of params.yaml."""


@dataclass(frozen=True)
class Plan:
    """A study before its first trial. It knows the subjects of training and validation, and no others.

    `storage` is the SQLAlchemy URL of a database, by default an SQLite file of the workspace. A running trial that has
    sent no heartbeat for `grace_s` seconds is taken for dead.
    """

    config: Config
    layout: Layout
    train: tuple[str, ...]
    validation: tuple[str, ...]
    storage: str | None = None
    grace_s: int = 120

    @classmethod
    def of_workspace(cls, config: Config, layout: Layout, storage: str | None = None) -> "Plan":
        """Return the plan of a workspace, checked; where its trials are kept says `storage`, else the environment.

        Raises
        ------
        ConfigError
            If the search space does not fit, or there is no subject.
        VolumeError, WeightsError
            If something that the trials need is missing.
        """
        require_space(config)
        if not layout.split.exists():
            raise VolumeError(f"{layout.split}: no such file; run `dvc repro train_fine` first")
        split = read_json(layout.split)
        validation = tuple(split["validation"][: config.tune.validation_volumes])
        storage = storage or os.environ.get(STORAGE_VARIABLE) or None
        plan = cls(config, layout, tuple(split["train"]), validation, storage)
        plan._require()
        return plan

    @property
    def is_fine(self) -> bool:
        """Whether the second stage is tuned, else the Coarse-net."""
        return self.config.tune.scope == "sampling" or self.config.tune.training.network == "fine"

    @property
    def given(self) -> str:
        """What the tuned stage is given, in words: gains are over it."""
        return "the coarse result" if self.is_fine else "the degraded input"

    @property
    def composite(self) -> tuple[str, dict[str, float]]:
        """Name of the composite, and its metrics with weights above 0."""
        name = self.config.tune.composite or ""
        return name, {metric: weight for metric, weight in self.config.tune.composites[name].items() if weight}

    @property
    def cases(self) -> list[tuple[str, str]]:
        """Subject and code of every validation case, a subject after the other."""
        return [(subject, code) for subject in self.validation for code in self.config.tune.codes]

    def given_path(self, subject: str, code: str) -> Path:
        """Return the volume that the tuned stage is given."""
        return self.layout.coarse(subject, code) if self.is_fine else self.layout.case_input(subject, code)

    def _volumes(self, subject: str, code: str) -> list[Path]:
        """Return what a validation case is measured with: given and clean volume, brain mask."""
        return [self.given_path(subject, code), self.layout.clean(subject), self.layout.brain_mask(subject)]

    @property
    def weights(self) -> Sequence[str]:
        """The networks that trials start from."""
        if self.config.tune.scope == "sampling":
            return list(KINDS)
        return [kind for kind in KINDS if kind != "fine"] if self.is_fine else [FIELD]

    @cached_property
    def name(self) -> str:
        """The study's name: other volumes, weights, settings or ranges make another study, so that none is mixed.

        Budget, sampler, pruner and the present values of what is searched may change from one call to the next.
        """
        tune = self.config.tune
        raw = self.config.model_dump(mode="json")
        sections: list[str] = ["sampling"] if self.is_fine else []
        if tune.scope == "training":
            sections += ["training", "fine", "denoiser", "diffusion"] if self.is_fine else ["coarse", "intensity"]
        decisive = {
            "scope": tune.scope,
            "training": tune.training.model_dump(mode="json") if tune.scope == "training" else None,
            "objectives": {name: tune.composites.get(name) for name in tune.objectives},
            "space": {key: found.model_dump(mode="json") for key, found in tune.space.items()},
            "fixed": {section: _without(raw[section], section, set(tune.space)) for section in sections},
            "seed": self.config.seed,
            "cases": [[*case, *map(sha256, self._volumes(*case))] for case in self.cases],
            "train": [[name, sha256(self.layout.clean(name))] for name in self.train]
            if tune.scope == "training"
            else [],
            "weights": {kind: sha256(self.layout.weights(kind) / SPEC_FILE) for kind in self.weights},
        }
        kind = tune.scope if tune.scope == "sampling" else f"training-{tune.training.network}"
        return f"{kind}-{join_key(decisive)[:10]}"

    def without_people(self, text: str) -> str:
        """Return a text for others to read: no subject is named, and no folder outside the workspace."""
        for name in (*self.train, *self.validation):
            text = text.replace(name, "SUBJECT")
        return text.replace(str(self.layout.root.absolute()), ".")

    @property
    def folder(self) -> Path:
        """What the study keeps beside its trials."""
        return self.layout.study(self.name)

    def _require(self) -> None:
        """Check that there is what trials need."""
        if not self.validation:
            raise ConfigError("split.validation: expected at least one subject; got none; raise it in params.yaml")
        if self.config.tune.scope == "training" and not self.train:
            raise ConfigError("split.train: expected at least one subject; got none; raise it in params.yaml")
        codes = {"000", *case_codes(self.config.fine)}
        if self.is_fine and (odd := sorted(set(self.config.tune.codes) - codes)):
            raise ConfigError(
                f"tune.codes: expected codes that the stage coarsen restores (fine.code_weights), {sorted(codes)};"
                f" got {odd} too"
            )
        if lacking := [kind for kind in self.weights if not (self.layout.weights(kind) / SPEC_FILE).exists()]:
            raise WeightsError(
                f"{self.layout.weights(lacking[0])}: expected trained networks; {lacking} are missing; run"
                f" `dvc repro {'train_fine' if self.is_fine else 'train_field'}`"
            )
        paths = [path for case in self.cases for path in self._volumes(*case)]
        if missing := [path for path in paths if not path.exists()]:
            raise VolumeError(
                f"{missing[0]}: expected the volumes of all validation cases; {len(missing)} are missing; run"
                f" `dvc repro {'coarsen' if self.is_fine else 'degrade'}`"
            )


def _without(section: dict[str, Any], prefix: str, keys: set[str]) -> dict[str, Any]:
    """Return a nested section without the keys that are searched."""
    return {
        name: _without(value, f"{prefix}.{name}", keys) if isinstance(value, dict) else value
        for name, value in section.items()
        if f"{prefix}.{name}" not in keys
    }
