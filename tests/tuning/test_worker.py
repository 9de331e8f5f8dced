"""SIGTERM ends a worker wherever it is, and leaves no trial in the database that nobody puts back."""

import os
import signal
import threading

import pytest
from optuna.storages import _CachedStorage

from bmenet.runtime.progress import console
from bmenet.tracking.record import idle_records
from bmenet.tuning import worker
from bmenet.tuning.study import open_study
from tests.tuned import scaled, states


@pytest.fixture
def work(plan, monkeypatch):
    """Return a function that works at a study in this process with an objective, until the worker leaves."""
    monkeypatch.setattr(os, "setpgrp", lambda: None)
    monkeypatch.setattr(console, "quiet", False)
    previous = signal.getsignal(signal.SIGTERM)
    study = open_study(plan)

    def run(objective):
        monkeypatch.setattr(worker, "make_objective", lambda *_: objective)
        with pytest.raises(SystemExit) as left:
            worker.work(plan, 0, 1, None, threading.Event())
        assert left.value.code == 143
        return states(study)

    yield run
    signal.signal(signal.SIGTERM, previous)


def reporting(config, report):
    report(1, 0.5)
    return scaled(config, report)


@pytest.mark.parametrize(
    ("method", "is_before", "left"),
    [
        ("create_new_trial", False, ["fail", "waiting"]),  # inside Optuna's ask
        ("set_trial_intermediate_value", True, ["fail", "waiting"]),
        ("set_trial_state_values", True, ["complete"]),  # inside Optuna's tell
        ("set_trial_state_values", False, ["complete"]),
    ],
)
def test_a_signal_while_the_database_is_written_waits_for_it(plan, work, monkeypatch, method, is_before, left):
    write = getattr(_CachedStorage, method)

    def interrupted(*given, **named):
        if is_before:
            signal.raise_signal(signal.SIGTERM)
        written = write(*given, **named)
        signal.raise_signal(signal.SIGTERM)
        return written

    monkeypatch.setattr(_CachedStorage, method, interrupted)
    assert work(reporting) == left
    assert len([*idle_records(plan.layout.root / "mlflow" / "pending")]) == left.count("complete")


def test_a_signal_while_a_trial_computes_ends_it_at_once(work):
    def interrupted(*_):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")

    assert work(interrupted) == ["fail", "waiting"]
