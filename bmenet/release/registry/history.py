"""The history of champions, small enough for a tag: who was champion, in order, and the latest decisions.

Tags of a registered model hold 5000 characters in MLflow's databases, so the oldest decisions give way; every
decision stays in full with the version it is about.
"""

import json
from dataclasses import dataclass
from typing import Any

from bmenet.release.gate.record import Record

HISTORY_TAG = "bmenet.history"
MAX_LENGTH = 4800
_MAX_CHAMPIONS = 200
_MAX_REASON_LENGTH = 200


@dataclass(frozen=True)
class History:
    """Champions and decisions, oldest first.

    Parameters
    ----------
    champions : tuple of int
        The last one is the present champion; a rollback goes to the one before.
    decisions : tuple of dict
        In brief.
    """

    champions: tuple[int, ...] = ()
    decisions: tuple[dict[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "History":
        """Read the tag; without one, or with one that somebody spoilt, begin anew."""
        try:
            found = json.loads(text or "{}")
            return cls(tuple(map(int, found["champions"])), tuple(found["decisions"]))
        except (ValueError, KeyError, TypeError):
            return cls()

    def seeing(self, champion: int | None, existing: set[int]) -> "History":
        """Take in what happened outside: a champion that somebody set elsewhere, versions that were deleted."""
        champions = [number for number in self.champions if number in existing]
        champions = [number for place, number in enumerate(champions) if not place or number != champions[place - 1]]
        if champion is not None and (not champions or champions[-1] != champion):
            champions.append(champion)
        return History(tuple(champions[-_MAX_CHAMPIONS:]), self.decisions)

    @property
    def before(self) -> int | None:
        """The champion before the present one."""
        return self.champions[-2] if len(self.champions) > 1 else None

    def with_record(self, record: Record) -> "History":
        """Add a decision, and the champion that follows from it."""
        champions = self.champions
        if record.outcome == "promoted":
            champions = (*champions, record.candidate.version)
        elif record.outcome == "rolled back":
            champions = champions[:-1]
        return History(champions, (*self.decisions, _brief(record)))

    def text(self) -> str:
        """Return the tag's text: the newest decisions that fit."""
        decisions = list(self.decisions)
        while len(text := json.dumps({"champions": self.champions, "decisions": decisions})) > MAX_LENGTH and decisions:
            decisions.pop(0)
        return text


def _brief(record: Record) -> dict[str, Any]:
    """Return a decision in one line's worth of JSON."""
    brief: dict[str, Any] = {
        "time": record.time,
        "by": record.by,
        "outcome": record.outcome,
        "version": record.candidate.version,
        "champion": record.after.version if record.after else None,
        "reason": record.reasons[0][:_MAX_REASON_LENGTH] if record.reasons else "",
    }
    if record.comparison and record.comparison.gain:
        brief["metric"] = record.comparison.metric
        brief["gain"] = [float(f"{value:.5g}") for value in record.comparison.gain.as_dict().values()]
    return brief
