"""Who is champion: the alias moves, and every move or refusal is recorded."""

import json

from bmenet.release.gate.record import Record, now
from bmenet.release.registry.access import answering
from bmenet.release.registry.history import HISTORY_TAG
from bmenet.release.registry.registry import Registry
from bmenet.release.registry.version import CHAMPION, DECISIONS_TAG, MODEL_NAME, Version
from bmenet.runtime.errors import WeightsError

_MAX_TAG_LENGTH = 90_000
_MAX_DESCRIPTION_LENGTH = 5_000
"""What MLflow's databases have room for; PostgreSQL refuses more."""
_NO_REASON = "by hand, no reason given"


def settle(registry: Registry, record: Record) -> bool:
    """Carry a decision out and record it; return False, and do neither, if the champion is another one by now."""
    with registry.lock(), answering():
        champion = registry.champion()
        if (champion and champion.number) != (record.before and record.before.version):
            return False
        _carry_out(registry, record)
        return True


def promote(registry: Registry, number: int, reason: str = "") -> Record:
    """Make a version the champion, because a person says so.

    Raises
    ------
    WeightsError
        If there is no such version, or it is the champion already.
    """
    with registry.lock(), answering():
        chosen, champion = registry.require(number), registry.champion()
        if chosen.is_champion:
            raise WeightsError(f"{MODEL_NAME}: expected another version than the champion; got {number}, which is")
        after = chosen.model
        before = champion.model if champion else None
        record = Record(now(), "hand", "promoted", after, before, after, (reason or _NO_REASON,))
        _carry_out(registry, record)
        return record


def rollback(registry: Registry, reason: str = "") -> Record:
    """Make the champion before the present one the champion again.

    Raises
    ------
    WeightsError
        If there is no champion, or none before it.
    """
    with registry.lock(), answering():
        champion = registry.champion()
        number = registry.history().before
        if champion is None or number is None:
            raise WeightsError(
                f"{MODEL_NAME}: expected a champion before the present one, to go back to; got none; choose a version"
                " with `bmenet registry promote VERSION`"
            )
        before, after = champion.model, registry.require(number).model
        told = f"back from version {champion.number} to {number}: {reason or _NO_REASON}"
        record = Record(now(), "hand", "rolled back", before, before, after, (told,))
        _carry_out(registry, record)
        return record


def _carry_out(registry: Registry, record: Record) -> None:
    """Move the alias and write the record, in the order that leaves no false history if it is cut short.

    A promotion that was cut short is seen, and taken in, by the next decision; a rollback is done again.
    """
    history = registry.history().with_record(record)
    if record.outcome == "rolled back":
        registry.client.set_registered_model_tag(MODEL_NAME, HISTORY_TAG, history.text())
    if record.after is not None and record.after != record.before:
        registry.client.set_registered_model_alias(MODEL_NAME, CHAMPION, str(record.after.version))
    registry.client.set_registered_model_tag(MODEL_NAME, HISTORY_TAG, history.text())
    about = registry.require(record.candidate.version)
    for key, value in _decision_tags(record, about).items():
        registry.client.set_model_version_tag(MODEL_NAME, str(about.number), key, value)
    told = f"{record.outcome} by {record.by}, {record.time[:10]}: {'; '.join(record.reasons)}"
    # MLflow's page of the version opens with it.
    registry.client.update_model_version(MODEL_NAME, str(about.number), told[:_MAX_DESCRIPTION_LENGTH])


def _decision_tags(record: Record, about: Version) -> dict[str, str]:
    """Return the last decision about a version, and all of them in full: the oldest give way to what a tag holds."""
    decisions = [*about.decisions, record.as_dict()]
    while len(text := json.dumps(decisions)) > _MAX_TAG_LENGTH and len(decisions) > 1:
        decisions.pop(0)
    tags = {
        "gate.decision": record.outcome,
        "gate.by": record.by,
        "gate.reasons": "; ".join(record.reasons),
        "gate.time": record.time,
        DECISIONS_TAG: text,
    }
    return tags | ({"gate.metric": record.comparison.metric} if record.comparison else {})
