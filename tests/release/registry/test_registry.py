"""Versions and aliases: the champion is moved by a decision, never by a stale one, and brought back."""

import threading

import pytest

from bmenet.release.registry import CHALLENGER, CHAMPION, Registry
from bmenet.runtime.errors import TrackingError, WeightsError
from tests.release.published import make_run, publish


def _settle(registry, candidate, champion, is_promoted=True, reason="better"):
    return registry.settle(candidate, champion, is_promoted, (reason, "and so on"), "psnr")


def _three(registry):
    return [publish(registry, name) for name in ("first", "second", "third")]


def test_the_same_bundle_is_registered_once_and_another_one_is_the_next_version(registry):
    run_id = make_run(registry)
    first, second = publish(registry, "first", run_id), publish(registry, "second")
    registry.log_figures(first, run_id, {"validation.psnr": 30.25, "test.coarse.psnr": 29.5})
    assert (first.number, second.number) == (1, 2)
    again = publish(registry, "first")
    assert again.number == 1
    assert [version.aliases for version in registry.versions()] == [(CHALLENGER,), ()]
    assert registry.versions()[0].tags["test.coarse.psnr"] == "29.5"
    assert registry.client.get_run(run_id).data.metrics == {"validation.psnr": 30.25, "test.coarse.psnr": 29.5}
    model = registry.client.get_logged_model(first.model_id)
    assert {metric.key: metric.value for metric in model.metrics}["validation.psnr"] == 30.25


def test_a_promotion_moves_the_alias_and_a_refusal_does_not(registry):
    first = publish(registry, "first")
    assert _settle(registry, first, None)
    assert registry.champion().aliases == (CHALLENGER, CHAMPION)
    second = publish(registry, "second")
    assert _settle(registry, second, first, is_promoted=False, reason="worse")
    assert [version.aliases for version in registry.versions()] == [(CHAMPION,), (CHALLENGER,)]
    tags = registry.versions()[1].tags
    assert (tags["gate.decision"], tags["gate.by"], tags["gate.metric"]) == ("kept", "gate", "psnr")
    assert tags["gate.reasons"] == "worse; and so on"


def test_of_two_publishes_at_once_one_has_to_decide_again_and_its_first_decision_changes_nothing(registry):
    first, *candidates = _three(registry)
    _settle(registry, first, None)
    start, settled = threading.Barrier(2), {}

    def decide(candidate):
        own = Registry()
        start.wait()
        settled[candidate.number] = _settle(own, candidate, first)

    threads = [threading.Thread(target=decide, args=(candidate,)) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(settled.values()) == [False, True]
    assert settled[registry.champion().number]
    (loser,) = [candidate for candidate in candidates if not settled[candidate.number]]
    assert not _settle(registry, loser, None)
    assert "gate.decision" not in registry.require(loser.number).tags
    assert registry.rollback()[1] == 1


@pytest.mark.parametrize(
    ("moves", "back"),
    [
        ([1, 2, "back", 3], [1, None]),  # not to the one that was taken back
        ([1, 2, 3, 2], [3, 2, 1, None]),
        ([], [None]),
    ],
)
def test_rollback_goes_one_champion_back_each_time_until_there_is_none(registry, moves, back):
    _three(registry)
    for move in moves:
        registry.rollback() if move == "back" else registry.promote(move)
    for expected in back:
        found = registry.champion()
        before = found and found.number
        if expected is None:
            with pytest.raises(WeightsError, match="expected a champion before the present one, to go back to"):
                registry.rollback()
            assert registry.champion() == found
        else:
            assert registry.rollback("blurred") == (before, expected)
            assert registry.champion().number == expected
            tags = registry.versions()[before - 1].tags
            assert tags["gate.decision"] == "rolled back"
            assert f"back from version {before} to {expected}: blurred" in tags["gate.reasons"]


def test_a_champion_set_or_deleted_elsewhere_is_taken_in_and_as_many_are_kept_as_a_tag_holds(registry, monkeypatch):
    _three(registry)
    registry.promote(1)
    registry.promote(2)
    registry.client.set_registered_model_alias("bmenet", CHAMPION, "3")
    registry.client.delete_model_version("bmenet", "2")
    assert registry.rollback() == (3, 1)
    registry.client.set_registered_model_alias("bmenet", CHAMPION, "3")
    registry.promote(1)
    assert registry.rollback() == (1, 3)
    registry.client.set_registered_model_tag("bmenet", "champions", "spoilt")
    registry.promote(1)
    assert registry.rollback() == (1, 3)
    monkeypatch.setattr("bmenet.release.registry.registry._MAX_CHAMPIONS", 2)
    for number in (1, 3, 1, 3):
        registry.promote(number)
    assert registry.rollback() == (3, 1)
    with pytest.raises(WeightsError, match="expected a champion before the present one"):
        registry.rollback()
    registry.client.delete_registered_model_alias("bmenet", CHAMPION)
    with pytest.raises(WeightsError, match="expected a champion before the present one"):
        registry.rollback()


def test_promote_by_hand_is_recorded_with_its_reason_and_refuses_what_is_not_there(registry):
    with pytest.raises(WeightsError, match="expected a published model; the registry holds none"):
        registry.promote(1)
    publish(registry, "first")
    publish(registry, "second")
    with pytest.raises(WeightsError, match="expected one of the versions 1, 2; got 7"):
        registry.promote(7)
    assert registry.promote(1, "radiologists prefer it") is None
    with pytest.raises(WeightsError, match="expected another version than the champion; got 1, which is"):
        registry.promote(1)
    tags = registry.versions()[0].tags
    assert (tags["gate.by"], tags["gate.reasons"]) == ("hand", "radiologists prefer it")
    first = registry.champion()
    assert _settle(registry, first, first, is_promoted=False, reason="nothing new")  # its bundle is published again
    tags = registry.champion().tags
    assert (tags["gate.by"], tags["gate.reasons"]) == ("hand", "radiologists prefer it")
    assert tags["gate.metric"] == "psnr"  # the gate has measured it now
    assert registry.promote(2, "long " * 2000) == 1
    description = registry.client.get_model_version("bmenet", "2").description
    assert description.startswith("promoted by hand, 20")
    assert len(description) == 5000  # PostgreSQL refuses more


def test_a_wait_for_another_process_ends(registry, monkeypatch):
    monkeypatch.setattr("bmenet.release.registry.registry._LOCK_TIMEOUT_S", 0.1)
    waiting = Registry()
    with registry._lock(), pytest.raises(TrackingError, match="expected to be the only one who changes the registry"):
        publish(waiting, "first")
    assert registry.versions() == []
