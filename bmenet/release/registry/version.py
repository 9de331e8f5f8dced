"""What the registry knows of one published model."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bmenet.release.gate.record import Model

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MODEL_NAME = "bmenet"
CHALLENGER = "challenger"
"""The newest one published, champion or not."""
CHAMPION = "champion"
"""The one to be used: the best on validation volumes, or whom a person chose."""
DIGEST_TAG = "bundle.digest"
DECISIONS_TAG = "gate.history"
_LOGGED = "models:/m-"
SPACING_TAG = "bundle.spacing_mm"


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    Parameters
    ----------
    number : int
    aliases : tuple of str
    time : str
        When it was registered: ISO 8601, UTC.
    model_id : str or None
        Of MLflow's logged model.
    tags : dict
        Lineage, figures and the last decision about it.
    """

    number: int
    aliases: tuple[str, ...]
    time: str
    model_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of its bundle; empty where it was registered without one."""
        return self.tags.get(DIGEST_TAG, "")

    @property
    def model(self) -> Model:
        """What a decision says of it."""
        return Model(self.number, self.digest)

    @property
    def is_champion(self) -> bool:
        """Whether it has the alias."""
        return CHAMPION in self.aliases

    @property
    def validation(self) -> tuple[str, float] | None:
        """The gate's metric and its mean over validation subjects, where the gate has seen this version."""
        metric = self.tags.get("gate.metric", "")
        value = self.tags.get(f"validation.{metric}")
        return None if value is None else (metric, float(value))

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Every decision about it, in full, oldest first."""
        try:
            return list(json.loads(self.tags.get(DECISIONS_TAG, "[]")))
        except (ValueError, TypeError):  # somebody wrote something else there
            return []

    @classmethod
    def of(cls, entity: "ModelVersion", aliases: dict[str, str]) -> "Version":
        """Read MLflow's entity; `aliases` are the registered model's."""
        number, source = int(entity.version), entity.source or ""
        return cls(
            number,
            tuple(sorted(alias for alias, version in aliases.items() if int(version) == number)),
            datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            source.removeprefix("models:/") if source.startswith(_LOGGED) else None,
            dict(entity.tags),
        )
