"""Workers at one study use up its budget and no more, whatever becomes of one of them."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from optuna.trial import TrialState

from bmenet.runtime.errors import BMENetError, WeightsError
from bmenet.tuning import run, worker
from bmenet.tuning.run import run_study
from bmenet.tuning.search_space import current_values
from bmenet.tuning.study import ENDED_BY, IS_DEFAULT, counted, counts, load_study, open_study
from bmenet.tuning.worker import Shift, run_shift
from tests.tuned import never, plan_of, scaled

LONG = {"sampling__samples": 12, "sampling__start_timestep": 300}
"""A trial takes a second or more."""


def _kill_one(plan, killed):
    """Kill the process of a trial as soon as one has its values and is computing."""
    watched = load_study(plan)
    deadline = time.monotonic() + 60
    while not killed and time.monotonic() < deadline:
        time.sleep(0.05)
        for trial in watched.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if len(trial.params) < len(plan.config.tune.space):
                continue
            pid = trial.user_attrs["worker"]["pid"]
            time.sleep(0.1)  # by now it writes nothing: a lock that a dead process holds costs half a minute
            os.kill(pid, signal.SIGSTOP)  # so that the trial cannot end while it is looked at
            if watched.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING:
                os.kill(pid, signal.SIGKILL)
                killed.append(trial.number)
                return
            os.kill(pid, signal.SIGCONT)


def test_workers_use_up_the_budget_though_one_of_them_is_killed(tuned):
    plan = plan_of(tuned, tune__trials=3, **LONG)
    study = open_study(plan)
    killed = []
    thread = threading.Thread(target=_kill_one, args=(plan, killed))
    thread.start()
    run_study(plan, study, 2)
    thread.join()
    trials = study.trials
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert [trial.number for trial in trials] == list(range(len(trials)))
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert counted(study) == len(complete) == 3
    assert len({str(trial.params) for trial in complete}) == 3
    (dead,) = [trial for trial in trials if trial.user_attrs.get(ENDED_BY) == "its process died"]
    assert [dead.number] == killed
    assert (dead.state, counts(dead)) == (TrialState.FAIL, False)
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == dead.number]
    assert (again.state, again.params) == (TrialState.COMPLETE, dead.params)
    (default,) = [trial for trial in complete if trial.user_attrs.get(IS_DEFAULT)]
    assert default.params == current_values(plan.config)
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.fixture
def no_objective(monkeypatch):
    """Let trials compute nothing."""
    monkeypatch.setattr(worker, "make_objective", lambda plan, number: scaled)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _shift(plan, seconds=None):
    return Shift(plan, plan.config.tune.trials, seconds, 1, 0)


def test_a_worker_goes_on_until_there_are_enough_trials(plan, no_objective):
    study = open_study(plan)
    run_shift(_shift(plan), never)
    assert counted(study) == plan.config.tune.trials
    run_shift(_shift(plan), never)
    assert len(study.trials) == plan.config.tune.trials


def test_a_worker_that_is_asked_to_stop_begins_no_trial(plan, no_objective):
    study = open_study(plan)
    answers = iter((False, False, True))
    run_shift(_shift(plan), lambda: next(answers))
    assert counted(study) == 2


def test_no_trial_begins_once_time_is_up(plan, no_objective):
    study = open_study(plan)
    run_shift(_shift(plan, seconds=0.0), never)
    run_study(plan_of(plan.layout.root, tune__timeout_s=1e-9), study, 1)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]


def test_workers_share_the_trials_of_a_study(plan, no_objective):
    plan = plan_of(plan.layout.root, tune__trials=8)
    study = open_study(plan)
    threads = [threading.Thread(target=run_shift, args=(_shift(plan), never)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted(study) == 8
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    rest = {trial.user_attrs[ENDED_BY] for trial in study.trials if not counts(trial)}
    assert rest <= {"beyond the budget"}
    assert [trial.user_attrs.get(IS_DEFAULT, False) for trial in study.trials].count(True) == 1


def test_torn_weights_stop_a_worker_before_its_first_trial(plan):
    study = open_study(plan)
    (plan.layout.weights("prior") / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError):
        run_shift(_shift(plan), never)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]


def test_a_budget_of_none_starts_no_worker(tuned, monkeypatch):
    plan = plan_of(tuned, tune__trials=0)
    monkeypatch.setattr(run._Crew, "fill", lambda self: pytest.fail("a worker too many"))
    study = open_study(plan)
    run_study(plan, study, 1)
    assert counted(study) == 0


@pytest.fixture
def ending(monkeypatch):
    """Let every worker that is started end at once with the exit code that is asked for."""
    started = []

    def fill(crew):
        started.append(len(started))
        crew._processes = {0: SimpleNamespace(exitcode=ending_with[0], terminate=never, join=lambda _: None)}

    ending_with = [0]
    monkeypatch.setattr(run, "_LOOK_S", 0.0)
    monkeypatch.setattr(run._Crew, "fill", fill)
    return SimpleNamespace(started=started, code=ending_with)


def test_a_worker_that_cannot_work_ends_the_study(plan, ending):
    ending.code[0] = 1
    with pytest.raises(BMENetError, match="a worker ended with exit code 1"):
        run_study(plan, open_study(plan), 1)
    assert len(ending.started) == 1


def test_workers_that_die_one_after_the_other_end_the_study(plan, ending):
    ending.code[0] = -signal.SIGKILL
    with pytest.raises(BMENetError, match="3 workers died one after the other"):
        run_study(plan, open_study(plan), 1)
    assert len(ending.started) == 3
