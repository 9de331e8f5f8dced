"""What the registry knows of one published model."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MODEL_NAME = "bmenet"
CHALLENGER = "challenger"
"""The newest one published, champion or not."""
CHAMPION = "champion"
"""The one to be used: the best on validation volumes, or the one that a person chose."""
SINCE_TAG = "champion.since"
"""When a version last became champion, for people to read."""
DIGEST_TAG = "bundle.digest"
CODE_TAG = "serving.sha256"
"""Of the file that serves it: the same bundle with another one is another version."""
SPACING_TAG = "bundle.spacing_mm"
_MODEL_ID = re.compile(r"\bm-[0-9a-f]{32}\b")


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
    def is_champion(self) -> bool:
        """Whether it has the alias."""
        return CHAMPION in self.aliases

    @property
    def validation(self) -> tuple[str, float] | None:
        """The gate's metric and its mean over validation subjects, where the gate has seen this version."""
        metric = self.tags.get("gate.metric", "")
        value = self.tags.get(f"validation.{metric}")
        return None if value is None else (metric, float(value))

    @classmethod
    def of(cls, entity: "ModelVersion", aliases: Mapping[str, str]) -> "Version":
        """Read MLflow's entity; `aliases` are the registered model's."""
        number, model_id = int(entity.version), _MODEL_ID.search(entity.source or "")
        return cls(
            number,
            tuple(sorted(alias for alias, version in aliases.items() if int(version) == number)),
            datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            model_id and model_id[0],
            dict(entity.tags),
        )
