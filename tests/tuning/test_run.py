"""Workers at one study use up its budget and no more, whatever becomes of one of them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
from optuna.trial import TrialState

from bmenet.runtime.errors import BMENetError
from bmenet.tracking.record import idle_records
from bmenet.tuning import run
from bmenet.tuning.run import run_study
from bmenet.tuning.search_space import current_values, suggest
from bmenet.tuning.study import counted, fail_stale, load_study, open_study, put_back_numbers
from bmenet.tuning.trial import TrialRunner
from tests.conftest import REPOSITORY
from tests.tuned import changed, plan_of, run_trials, scaled, states

LONG = {"sampling__samples": 8, "sampling__start_timestep": 300}
"""A trial takes seconds."""


def _workers():
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "spawn_main" in " ".join(child.cmdline())]


def _kill_one(plan, before, killed):
    """Kill a worker as soon as its trial has its values."""
    study = load_study(plan)
    deadline = time.monotonic() + 90
    while not killed and time.monotonic() < deadline:
        time.sleep(0.05)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if len(running) == 2 and all(len(trial.params) == len(plan.config.tune.space) for trial in running):
            worker = next(child for child in _workers() if child.pid not in before)
            worker.kill()
            killed.append(worker.pid)


def test_workers_use_up_the_budget_though_one_of_them_is_killed(tuned):
    plan = replace(plan_of(tuned, tune__trials=2, **LONG), grace_s=4)
    study = open_study(plan)
    killed = []
    before = {child.pid for child in _workers()}
    thread = threading.Thread(target=_kill_one, args=(plan, before, killed))
    thread.start()
    run_study(plan, study, 2)
    thread.join()
    assert len(killed) == 1
    trials = study.trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert counted(study) == complete
    assert len({str(trial.params) for trial in complete}) == len(complete) == 2
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert put_back_numbers(trials)
    assert current_values(plan.config) in [trial.params for trial in complete]
    assert {child.pid for child in _workers()} <= before


def test_several_calls_at_once_run_the_budget_exactly(tuned):
    plan = plan_of(tuned, tune__trials=8)
    study = open_study(plan)
    threads = [threading.Thread(target=lambda: TrialRunner(plan, scaled).run(load_study(plan))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted(study)) == 8
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    assert states(study).count("complete") == 8
    assert [trial.params for trial in study.trials].count(current_values(plan.config)) == 1


def test_a_study_that_is_done_starts_no_worker_and_one_out_of_time_begins_no_trial(tuned, monkeypatch):
    monkeypatch.setattr(run._Crew, "fill", lambda crew: pytest.fail("a worker too many"))
    plan = plan_of(tuned, tune__trials=1)
    run_study(plan, run_trials(plan, scaled), 1)
    late = plan_of(tuned, tune__trials=2, tune__timeout_s=1e-9)
    run_study(late, open_study(late), 1)
    assert states(open_study(late)) == ["complete"]


def test_trials_that_no_worker_could_record_are_recorded_once(plan):
    """One trial is told and its worker killed before it recorded it; the values of another die twice."""
    pending = plan.layout.root / "mlflow" / "pending"
    study = open_study(plan)
    told = study.ask()
    suggest(told, plan.config.tune.space)
    study.tell(told, [1.0])
    for _ in range(2):
        suggest(study.ask(), plan.config.tune.space)
        study._storage.record_heartbeat(study.trials[-1]._trial_id)
        with study._storage._backend.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'")
        fail_stale(study, set())
    done = replace(plan, config=changed(plan.config, tune__trials=2))
    run_study(done, study, 1)
    tags = [[entry[1:] for entry in record.unsent if entry[0] == "tag"] for record in idle_records(pending)]
    assert sorted(dict(found)["trial.state"] for found in tags) == ["complete", "failed", "put back"]
    shutil.rmtree(pending)  # they are sent
    run_study(done, load_study(done), 1)
    assert not pending.exists()


def test_torn_weights_end_the_call_before_the_first_trial(plan, capfd):
    (plan.layout.weights("denoiser") / "model.safetensors").write_bytes(b"torn")
    study = open_study(plan)
    with pytest.raises(BMENetError, match="a worker ended with exit code 1"):
        run_study(plan, study, 1)
    assert study.trials == []
    assert "a worker stopped" in capfd.readouterr().err


def test_workers_that_are_killed_one_after_the_other_end_the_call(plan, monkeypatch):
    started = []

    def fill(crew):
        started.append(len(started))
        crew.processes = {0: SimpleNamespace(exitcode=-signal.SIGKILL)}

    monkeypatch.setattr(run, "_LOOK_S", 0.0)
    monkeypatch.setattr(run._Crew, "fill", fill)
    with pytest.raises(BMENetError, match="3 workers died one after the other"):
        run_study(plan, open_study(plan), 1)
    assert len(started) == 3


def test_a_worker_leaves_when_its_parent_is_killed(tuned):
    """The parent is killed as soon as a trial has its values; the worker puts the trial back and ends."""
    plan = plan_of(tuned, tune__trials=500, **LONG)
    code = f"""
import pathlib
from bmenet.tuning.run import run_study
from bmenet.tuning.study import open_study
from tests.tuned import plan_of

if __name__ == "__main__":
    plan = plan_of(pathlib.Path({str(tuned)!r}), tune__trials=500, **{LONG!r})
    run_study(plan, open_study(plan), 1)
"""
    script = tuned / "parent.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    study = open_study(plan)
    deadline = time.monotonic() + 120
    while not any(len(trial.params) == len(plan.config.tune.space) for trial in study.trials):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    assert "running" not in states(study)
