"""What is kept of a decision: which models, by whom, on what evidence. No subject is named."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bmenet.evaluation.bootstrap import Interval

Outcome = Literal["promoted", "kept", "rolled back"]


@dataclass(frozen=True)
class Model:
    """A version of the registered model.

    Parameters
    ----------
    version : int
    digest : str
        Of its bundle; empty where it was registered without one.
    """

    version: int
    digest: str


@dataclass(frozen=True)
class Comparison:
    """What a decision of the gate rests on.

    Parameters
    ----------
    metric : str
    stage : str
        Whose results were compared, ``coarse`` or ``fine``.
    codes : tuple of str
    subjects : int
        How many.
    volumes : str
        One hash of all volumes' checksums: the same volumes, the same hash.
    candidate, champion : float or None
        Means over subjects.
    gain : Interval or None
        Positive is better.
    """

    metric: str
    stage: str
    codes: tuple[str, ...]
    subjects: int
    volumes: str
    candidate: float | None = None
    champion: float | None = None
    gain: Interval | None = None


@dataclass(frozen=True)
class Record:
    """A decision about the champion.

    Parameters
    ----------
    time : str
        ISO 8601, UTC.
    by : {"gate", "hand"}
    outcome : {"promoted", "kept", "rolled back"}
    candidate : Model
        What the decision is about: the model that became champion or did not, or the one that was taken back.
    before, after : Model or None
        The champion.
    reasons : tuple of str
    comparison : Comparison or None
        None where a person decided.
    """

    time: str
    by: Literal["gate", "hand"]
    outcome: Outcome
    candidate: Model
    before: Model | None
    after: Model | None
    reasons: tuple[str, ...]
    comparison: Comparison | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """What is compared from one publication to the next; what there is none of is left out."""
        numbers: dict[str, float | None] = {"is_promoted": int(self.outcome == "promoted")}
        if found := self.comparison:
            numbers |= {"candidate": found.candidate, "champion": found.champion}
            numbers |= {f"gain.{name}": value for name, value in (found.gain.as_dict() if found.gain else {}).items()}
        return {name: value for name, value in numbers.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return nested dicts, for JSON."""
        return _plain(self)


def now() -> str:
    """Return the time to the second, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def mean(values: Mapping[str, float] | None) -> float | None:
    """Return the mean over subjects, of nothing None."""
    return sum(values.values()) / len(values) if values else None


def _plain(value: Any) -> Any:
    """Turn dataclasses into dicts and tuples into lists."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
