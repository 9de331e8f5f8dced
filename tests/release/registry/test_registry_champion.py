"""The alias champion: moved by a decision, never by a stale one, and brought back; every move is recorded."""

import threading

import pytest

from bmenet.evaluation.bootstrap import Interval
from bmenet.release.gate.record import Comparison, Record, now
from bmenet.release.registry import CHALLENGER, CHAMPION, Registry, promote, rollback, settle
from bmenet.release.registry.history import HISTORY_TAG, MAX_LENGTH, History
from bmenet.runtime.errors import WeightsError
from tests.release.gate.published import make_store, publish


@pytest.fixture
def registry(workspace, monkeypatch):
    make_store(workspace, monkeypatch)
    return Registry()


def _record(candidate, before, is_promoted=True, reason="better"):
    gain = Interval(1.0, 0.5, 1.5)
    comparison = Comparison("psnr", "coarse", ("111",), 3, "0" * 64, 31.0, 30.0, gain)
    after = candidate if is_promoted else before
    return Record(
        now(),
        "gate",
        "promoted" if is_promoted else "kept",
        candidate.model,
        before and before.model,
        after and after.model,
        (reason, "and so on"),
        comparison,
    )


def _champion(registry):
    found = registry.champion()
    return found and found.number


def test_a_promotion_moves_the_alias_and_a_refusal_does_not(registry):
    first = publish(registry, "first")
    assert settle(registry, _record(first, None))
    assert registry.champion().aliases == (CHALLENGER, CHAMPION)
    second = publish(registry, "second")
    assert settle(registry, _record(second, first, is_promoted=False, reason="worse"))
    assert _champion(registry) == 1
    assert [version.aliases for version in registry.versions()] == [(CHAMPION,), (CHALLENGER,)]
    assert [decision["outcome"] for decision in registry.history().decisions] == ["promoted", "kept"]
    assert registry.versions()[1].tags["gate.reasons"] == "worse; and so on"


def test_a_decision_about_another_champion_than_the_present_one_changes_nothing(registry):
    first, second, third = (publish(registry, name) for name in ("first", "second", "third"))
    settle(registry, _record(first, None))
    settle(registry, _record(second, first))
    assert not settle(registry, _record(third, first))
    assert not settle(registry, _record(third, None))
    assert _champion(registry) == 2
    assert len(registry.history().decisions) == 2
    assert "gate.decision" not in registry.versions()[2].tags


def test_of_two_publishes_at_once_one_has_to_decide_again(registry):
    first, second, third = (publish(registry, name) for name in ("first", "second", "third"))
    settle(registry, _record(first, None))
    start, settled = threading.Barrier(2), {}

    def decide(candidate):
        own = Registry()
        start.wait()
        settled[candidate.number] = settle(own, _record(candidate, first))

    threads = [threading.Thread(target=decide, args=(candidate,)) for candidate in (second, third)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(settled.values()) == [False, True]
    assert settled[_champion(registry)]
    assert registry.history().champions == (1, _champion(registry))


def test_rollback_goes_one_champion_back_each_time_until_there_is_none(registry):
    versions = [publish(registry, name) for name in ("first", "second", "third")]
    for version in versions:
        promote(registry, version.number)
    assert rollback(registry, "blurred").after.version == 2
    assert _champion(registry) == 2
    assert rollback(registry).after.version == 1
    assert _champion(registry) == 1
    with pytest.raises(WeightsError, match="expected a champion before the present one, to go back to; got none"):
        rollback(registry)
    assert _champion(registry) == 1
    told = [(decision["by"], decision["outcome"]) for decision in registry.history().decisions]
    assert told == [("hand", "promoted")] * 3 + [("hand", "rolled back")] * 2
    assert "back from version 3 to 2: blurred" in registry.versions()[2].tags["gate.reasons"]


def test_rollback_after_a_rollback_and_a_new_champion_skips_the_one_taken_back(registry):
    for name in ("first", "second", "third"):
        publish(registry, name)
    promote(registry, 1)
    promote(registry, 2)
    rollback(registry)
    promote(registry, 3)
    assert rollback(registry).after.version == 1


def test_a_champion_set_or_deleted_elsewhere_is_taken_in(registry):
    for name in ("first", "second", "third"):
        publish(registry, name)
    promote(registry, 1)
    promote(registry, 2)
    registry.client.set_registered_model_alias("bmenet", CHAMPION, "3")
    registry.client.delete_model_version("bmenet", "2")
    assert rollback(registry).after.version == 1
    registry.client.delete_registered_model_alias("bmenet", CHAMPION)
    with pytest.raises(WeightsError, match="expected a champion before the present one"):
        rollback(registry)


def test_promote_by_hand_is_recorded_with_its_reason_and_refuses_what_is_not_there(registry):
    with pytest.raises(WeightsError, match="expected a published model; the registry holds none"):
        promote(registry, 1)
    with pytest.raises(WeightsError, match="expected a champion before the present one"):
        rollback(registry)
    publish(registry, "first")
    publish(registry, "second")
    with pytest.raises(WeightsError, match="expected one of the versions 1, 2; got 7"):
        promote(registry, 7)
    record = promote(registry, 1, "radiologists prefer it")
    assert (record.by, record.before) == ("hand", None)
    with pytest.raises(WeightsError, match="expected another version than the champion; got 1, which is"):
        promote(registry, 1)
    (decision,) = registry.versions()[0].decisions
    assert decision["reasons"] == ["radiologists prefer it"]
    assert decision["time"] == record.time
    assert len(registry.history().decisions) == 1


def test_every_decision_about_a_version_stays_in_full(registry):
    first = publish(registry, "first")
    second = publish(registry, "second")
    settle(registry, _record(first, None))
    settle(registry, _record(second, first, is_promoted=False))
    promote(registry, 2)
    gate, hand = registry.versions()[1].decisions
    assert gate["comparison"]["gain"] == {"mean": 1.0, "low": 0.5, "high": 1.5}
    assert gate["comparison"]["codes"] == ["111"]
    assert (gate["before"]["version"], gate["after"]["version"], gate["candidate"]["digest"]) == (1, 1, second.digest)
    assert (hand["by"], hand["comparison"]) == ("hand", None)
    assert registry.versions()[1].tags["gate.metric"] == "psnr"


def test_the_history_fits_a_tag_and_keeps_the_newest(registry):
    first = publish(registry, "first")
    history = History(champions=(1,))
    for number in range(60):
        history = history.with_record(_record(first, first, is_promoted=False, reason=f"{number} " + "long " * 100))
    text = history.text()
    assert len(text) <= MAX_LENGTH
    kept = History.parse(text)
    assert kept.champions == (1,)
    assert kept.decisions[-1]["reason"].startswith("59 ")
    assert len(kept.decisions) >= 5


def test_the_decisions_about_a_version_fit_a_tag_too(registry, monkeypatch):
    monkeypatch.setattr("bmenet.release.registry.champion._MAX_TAG_LENGTH", 1500)
    first = publish(registry, "first")
    settle(registry, _record(first, None))
    for number in range(4):
        settle(registry, _record(first, first, is_promoted=False, reason=f"reason {number}"))
    (version,) = registry.versions()
    assert 1 < len(version.decisions) < 5
    assert version.decisions[-1]["reasons"][0] == "reason 3"


def test_a_spoilt_history_does_not_stop_a_promotion(registry):
    publish(registry, "first")
    publish(registry, "second")
    promote(registry, 1)
    registry.client.set_registered_model_tag("bmenet", HISTORY_TAG, "not JSON")
    registry.client.set_model_version_tag("bmenet", "2", "gate.history", "not JSON")
    promote(registry, 2)
    assert _champion(registry) == 2
    assert rollback(registry).after.version == 1


def test_the_description_of_a_version_is_the_last_decision_about_it_cut_to_what_fits(registry):
    first, second = publish(registry, "first"), publish(registry, "second")
    settle(registry, _record(first, None))
    told = _record(second, first, is_promoted=False, reason="worse")
    settle(registry, told)

    def description(number):
        return registry.client.get_model_version("bmenet", number).description

    assert description("1").startswith("promoted by gate, 20")
    assert description("2") == f"kept by gate, {told.time[:10]}: worse; and so on"
    promote(registry, 2, "long " * 2000)
    assert description("2").startswith("promoted by hand, 20")
    assert len(description("2")) == 5000  # PostgreSQL refuses more
