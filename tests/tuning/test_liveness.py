"""A trial whose process died is tried once more, a trial that lives is left alone, and nobody does it twice."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from optuna.trial import TrialState

from bmenet.tuning import liveness
from bmenet.tuning.liveness import Alive, Watch, put_back, this_machine
from bmenet.tuning.search_space import current_values, suggest
from bmenet.tuning.study import ENDED_BY, IS_DEFAULT, counted, counts, load_study, open_study


@pytest.fixture
def study(plan):
    return open_study(plan)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only when it is told to."""
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(liveness, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


@pytest.fixture(scope="module")
def dead():
    """What a process that is no more had said of itself."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    process.communicate(b"\n")
    return {"machine": this_machine(), "pid": process.pid, "started": started}


def _start(study, plan, worker, has_values=True):
    trial = study.ask()
    if worker is not None:
        trial.set_user_attr("worker", worker)
    if has_values:
        suggest(trial, plan.config.tune.space)
    return trial


def _ends(study):
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def _next(study, plan):
    """Return what the next trial has: its values, and what is known of it."""
    trial = study.ask()
    suggest(trial, plan.config.tune.space)
    return study.trials[trial.number]


def test_a_dead_trial_is_tried_once_more(study, plan, dead):
    first = _start(study, plan, dead)
    assert [trial.number for trial in Watch(study).bury()] == [first.number]
    assert _ends(study) == ["FAIL", "WAITING"]
    buried = study.trials[0]
    assert buried.user_attrs[ENDED_BY] == "its process died"
    assert (counts(buried), counted(study)) == (False, 0)
    again = _next(study, plan)
    assert again.params == buried.params == current_values(plan.config)
    assert again.user_attrs[IS_DEFAULT] is True
    assert again.user_attrs["retry_of"] == 0
    assert "worker" not in again.user_attrs


def test_a_trial_that_is_not_the_first_has_its_own_values_again(study, plan, dead):
    study.tell(study.ask(), 1.0)
    second = _start(study, plan, dead)
    Watch(study).bury()
    again = _next(study, plan)
    assert again.params == second.params != current_values(plan.config)
    assert IS_DEFAULT not in again.user_attrs


@pytest.mark.parametrize("died", [True, False])
def test_a_trial_that_died_before_it_took_its_values_keeps_them(study, plan, dead, died):
    trial = _start(study, plan, dead, has_values=False)
    assert put_back(study, study.trials[trial.number], died)
    again = _next(study, plan)
    assert again.user_attrs[IS_DEFAULT] is True
    assert again.params == current_values(plan.config)


def test_of_several_who_find_a_dead_trial_one_puts_it_back(study, plan, dead):
    _start(study, plan, dead)
    others = [load_study(plan) for _ in range(3)]
    found = [other.get_trials(deepcopy=False)[0] for other in others]
    assert [put_back(other, trial, died=True) for other, trial in zip(others, found, strict=True)].count(True) == 1
    assert [Watch(other).bury() for other in others] == [[], [], []]
    assert _ends(study) == ["FAIL", "WAITING"]


def test_a_trial_that_died_twice_counts_as_failed_and_is_not_tried_again(study, plan, dead):
    for _ in range(2):
        _start(study, plan, dead)
        assert len(Watch(study).bury()) == 1
    assert _ends(study) == ["FAIL", "FAIL"]
    assert [counts(trial) for trial in study.trials] == [False, True]
    assert Watch(study).bury() == []


def test_an_interrupted_trial_is_put_back_any_number_of_times(study, plan):
    for number in range(4):
        _start(study, plan, None)
        assert put_back(study, study.trials[number], died=False)
    assert _ends(study) == ["FAIL"] * 4 + ["WAITING"]
    assert counted(study) == 0
    again = _next(study, plan)
    assert again.params == current_values(plan.config)
    assert again.user_attrs[IS_DEFAULT] is True


def test_an_interruption_does_not_wipe_out_a_death(study, plan, dead):
    _start(study, plan, dead)
    Watch(study).bury()
    _start(study, plan, None)
    put_back(study, study.trials[1], died=False)
    _start(study, plan, dead)
    Watch(study).bury()
    assert _ends(study) == ["FAIL"] * 3
    assert counted(study) == 1


def test_a_trial_that_has_ended_is_not_put_back(study, plan, dead):
    trial = _start(study, plan, dead)
    before = study.trials[0]
    load_study(plan).tell(trial.number, 1.0)
    assert not put_back(study, before, died=True)
    assert _ends(study) == ["COMPLETE"]
    assert ENDED_BY not in study.trials[0].user_attrs


def test_a_trial_that_lives_is_left_alone(study, plan, clock):
    trial = study.ask()
    watch = Watch(study)
    with Alive(trial):
        mark = study.trials[0].user_attrs["worker"]
        assert mark["machine"] == this_machine()
        assert psutil.Process(mark["pid"]) == psutil.Process()
        for clock.s in (0.0, 1000.0, 1e6):
            assert watch.bury() == []
    assert _ends(study) == ["RUNNING"]


def test_another_process_with_the_number_of_a_dead_one_is_another(study, plan):
    process = psutil.Process()
    _start(study, plan, {"machine": this_machine(), "pid": process.pid, "started": process.create_time() - 60})
    assert len(Watch(study).bury()) == 1


@pytest.mark.parametrize("worker", [{"machine": "elsewhere", "pid": 1, "started": 0.0}, None])
def test_a_trial_of_another_machine_is_dead_once_it_has_been_silent(study, plan, clock, worker):
    _start(study, plan, worker)
    watch = Watch(study)
    assert watch.bury() == []
    clock.s = liveness._GRACE_S
    assert watch.bury() == []
    assert Watch(study).bury() == []  # who comes later has seen no silence yet
    clock.s += 1
    assert [trial.number for trial in watch.bury()] == [0]
    assert _ends(study) == ["FAIL", "WAITING"]


def test_a_beat_of_another_machine_keeps_its_trial_alive(study, plan, clock):
    trial = _start(study, plan, {"machine": "elsewhere", "pid": 1, "started": 0.0})
    watch = Watch(study)
    for beat in range(1, 5):
        assert watch.bury() == []
        clock.s += 0.9 * liveness._GRACE_S
        trial.set_user_attr("beat", beat)
    assert watch.bury() == []
    clock.s += 1.1 * liveness._GRACE_S
    assert len(watch.bury()) == 1


def test_a_running_trial_beats(study, plan, monkeypatch):
    monkeypatch.setattr(liveness, "_BEAT_S", 0.01)
    trial = study.ask()
    with Alive(trial):
        deadline = liveness.time.monotonic() + 20
        while study.trials[0].user_attrs.get("beat", 0) < 2:
            assert liveness.time.monotonic() < deadline
    assert study.trials[0].state == TrialState.RUNNING


def test_the_machine_is_not_named():
    assert platform.node() not in this_machine()
