"""A study is one run, and each of its trials a run nested under it, written by workers and sent by the study."""

import json
import signal
import time
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from bmenet.tracking import start_trial, sync, track_stage
from bmenet.tracking.spool import Spool
from bmenet.tracking.store import Store
from tests.tracking.test_run import client, history, no_space

START_TRIAL = "from bmenet.tracking import start_trial\ntrial = start_trial(config, 'study', 'trial 0', {})\n"


@pytest.fixture
def by_name(runs):
    """Return {name: run} of a store in which no two runs have the same name."""

    def search():
        everything = runs()
        found = {run.info.run_name: run for run in everything}
        assert len(found) == len(everything)
        return found

    return search


@pytest.fixture
def fast(monkeypatch):
    """Let the sender look every few moments."""
    monkeypatch.setattr("bmenet.tracking.sender._INTERVAL_S", 0.05)


def parent(run):
    return run.data.tags.get("mlflow.parentRunId")


def wait_until(is_met):
    deadline = time.monotonic() + 20
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_trial_is_nested_under_its_study_and_holds_what_was_logged(place, config, by_name):
    Path("note.txt").write_text("kept")
    with track_stage(config, "tune", run_key="study"):
        trial = start_trial(config, "study", "trial 12", {"tune.worker": "1"})
        trial.log_params({"eta": 0.5})
        for step in range(3):
            trial.log_metrics({"psnr": 20.0 + step}, step=step)
        trial.set_tags({"tune.state": "COMPLETE"})
        trial.log_artifact("note.txt", "notes")
        trial.log_figure(Figure(), "figures/step.png")
        trial.end("FINISHED")
    found = by_name()
    assert set(found) == {"smoke pipeline", "tune", "trial 12"}
    run = found["trial 12"]
    assert parent(run) == found["tune"].info.run_id
    assert parent(found["tune"]) == found["smoke pipeline"].info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"eta": "0.5"}
    assert history(place, run, "psnr") == [(0, 20.0), (1, 21.0), (2, 22.0)]
    expected = {"profile": "smoke", "stage": "tune", "tune.worker": "1", "tune.state": "COMPLETE"}
    assert run.data.tags.items() >= expected.items()
    assert "tune.worker" not in found["tune"].data.tags
    artifacts = [client(place).list_artifacts(run.info.run_id, folder)[0].path for folder in ("notes", "figures")]
    assert artifacts == ["notes/note.txt", "figures/step.png"]
    assert list(place.spool.glob("*/")) == []


def test_pruned_and_failed_trials_leave_the_study_finished(place, config, by_name):
    with track_stage(config, "tune", run_key="study"):
        for status in ("KILLED", "FAILED"):
            start_trial(config, "study", status, {}).end(status)
    assert {name: run.info.status for name, run in by_name().items()} == {
        "smoke pipeline": "FINISHED",
        "tune": "FINISHED",
        "KILLED": "KILLED",
        "FAILED": "FAILED",
    }


def test_trial_can_be_seen_before_its_end(place, config, by_name, fast):
    with track_stage(config, "tune", run_key="study"):
        trial = start_trial(config, "study", "trial 0", {})
        trial.log_metrics({"psnr": 20.0}, step=0)
        wait_until(lambda: "trial 0" in by_name() and "psnr" in by_name()["trial 0"].data.metrics)
        assert by_name()["trial 0"].info.status == "RUNNING"
        trial.log_metrics({"psnr": 21.0}, step=1)
        trial.end("FINISHED")
        wait_until(lambda: len(list(place.spool.glob("*/"))) == 1)  # the study's own
        assert by_name()["trial 0"].info.status == "FINISHED"
        assert by_name()["tune"].info.status == "RUNNING"
    assert history(place, by_name()["trial 0"], "psnr") == [(0, 20.0), (1, 21.0)]


def test_trial_that_outlives_its_study_is_sent_later(place, config, by_name):
    with track_stage(config, "tune", run_key="study"):
        trial = start_trial(config, "study", "trial 0", {})
    assert by_name()["trial 0"].info.status == "RUNNING"
    trial.end("FINISHED")
    assert sync() == 1
    assert {run.info.status for run in by_name().values()} == {"FINISHED"}
    assert list(place.spool.glob("*/")) == []


def test_trial_whose_process_was_killed_is_marked_while_the_study_goes_on(place, config, by_name, start_python, fast):
    with track_stage(config, "tune", run_key="study"):
        process = start_python(START_TRIAL + "print('training', flush=True)\nimport time; time.sleep(60)\n")
        assert process.stdout.readline() == "training\n"
        wait_until(lambda: "trial 0" in by_name())
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: by_name()["trial 0"].info.status == "KILLED")
        assert by_name()["tune"].info.status == "RUNNING"
    assert by_name()["tune"].info.status == "FINISHED"
    assert list(place.spool.glob("*/")) == []


def test_worker_imports_no_mlflow(place, config, by_name, start_python):
    code = "trial.log_metrics({'psnr': 1.0}, step=0)\ntrial.end('FINISHED')\nimport sys; print('mlflow' in sys.modules)"
    assert start_python(START_TRIAL + code).communicate() == ("False\n", "")
    assert by_name() == {}


def test_trial_sent_before_its_study_waits_under_it(place, config, by_name):
    start_trial(config, "study", "trial 0", {"tune.worker": "1"}).end("FAILED")
    assert sync() == 1
    found = by_name()
    assert set(found) == {"tune", "trial 0"}
    study = found["tune"].info.run_id
    assert (parent(found["trial 0"]), parent(found["tune"])) == (study, None)
    assert found["trial 0"].info.status == "FAILED"
    assert "tune.worker" not in found["tune"].data.tags
    with track_stage(config, "tune", run_key="study"):
        pass
    found = by_name()
    assert found["tune"].info.run_id == study
    assert parent(found["tune"]) == found["smoke pipeline"].info.run_id
    assert (found["tune"].info.status, found["smoke pipeline"].info.status) == ("FINISHED", "FINISHED")


def test_trial_sent_twice_is_one_run(place, config, by_name):
    trial = start_trial(config, "study", "trial 0", {})
    trial.log_metrics({"psnr": 20.0}, step=0)
    trial.end("FINISHED")
    (header,) = place.spool.glob("*/run.json")
    store = Store(place)
    for _ in range(2):
        spool = Spool(header.parent)
        spool.mark_sent(store.name, None, 0)
        store.send(spool)
    assert set(by_name()) == {"tune", "trial 0"}
    assert by_name()["trial 0"].info.status == "FINISHED"
    assert history(place, by_name()["trial 0"], "psnr") == [(0, 20.0)]


def test_emptied_store_gets_a_trial_again(place, config, by_name):
    trial = start_trial(config, "study", "trial 0", {})
    trial.log_metrics({"psnr": 20.0}, step=0)
    (header,) = place.spool.glob("*/run.json")
    spool, store = Spool(header.parent), Store(place)
    spool.mark_sent(store.name, "0" * 32, next(spool.records())[1])
    with pytest.raises(Exception, match="not found"):
        store.send(spool)
    store.send(spool)
    assert history(place, by_name()["trial 0"], "psnr") == [(0, 20.0)]
    assert parent(by_name()["trial 0"]) == by_name()["tune"].info.run_id


def test_two_processes_of_one_study_write_one_run(place, config, by_name, start_python, fast):
    code = (
        "from bmenet.tracking import start_trial\n"
        "with track_stage(config, 'tune', run_key='study') as run:\n"
        "    run.set_tags({'other': 'yes'})\n"
        "    start_trial(config, 'study', 'trial 1', {}).end('FINISHED')\n"
    )
    with track_stage(config, "tune", run_key="study") as run:
        wait_until(lambda: "tune" in by_name() and parent(by_name()["tune"]))
        run.set_tags({"this": "yes"})
        start_trial(config, "study", "trial 0", {}).end("FINISHED")
        other = start_python(code)
        assert other.communicate() == ("", "")
    found = by_name()
    assert set(found) == {"smoke pipeline", "tune", "trial 0", "trial 1"}  # the second has no pipeline of its own
    assert found["tune"].data.tags.items() >= {"this": "yes", "other": "yes"}.items()
    assert {parent(found[f"trial {number}"]) for number in range(2)} == {found["tune"].info.run_id}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert list(place.spool.glob("*/")) == []


def test_trial_started_twice_with_one_key_is_one_run(place, config, by_name):
    with track_stage(config, "tune", run_key="study"):
        for worker in range(2):
            trial = start_trial(config, "study", "trial 0", {}, run_key="study/0")
            trial.set_tags({f"worker.{worker}": "yes"})
            trial.end("FINISHED")
    assert set(by_name()) == {"smoke pipeline", "tune", "trial 0"}
    assert by_name()["trial 0"].data.tags.items() >= {"worker.0": "yes", "worker.1": "yes"}.items()


def test_studies_do_not_mix(place, config, runs):
    for study in ("first", "second"):
        with track_stage(config, "tune", run_key=study):
            start_trial(config, study, f"{study} 0", {"study": study}).end("FINISHED")
            start_trial(config, study, f"{study} 1", {"study": study}).end("FINISHED")
    studies = {run.data.tags["bmenet.run"]: run.info.run_id for run in runs() if run.info.run_name == "tune"}
    assert set(studies) == {"first", "second"}
    trials = [run for run in runs() if "study" in run.data.tags]
    assert len(trials) == 4
    assert all(parent(run) == studies[run.data.tags["study"]] for run in trials)


def test_study_sends_its_own_living_trials_only(place, config, by_name):
    with track_stage(config, "tune", run_key="second"):
        other = start_trial(config, "first", "trial of the first", {})
        start_trial(config, "second", "trial of the second", {}).end("FINISHED")
    assert set(by_name()) == {"smoke pipeline", "tune", "trial of the second"}
    other.end("FINISHED")


def test_spool_of_an_earlier_version_names_no_parent_and_is_sent(place, config, runs):
    spool = Spool.create(place.spool, "train_coarse", "bmenet", None)
    spool.append("start", execution="one", tags={"profile": "smoke"})
    spool.append("end", status="FINISHED", ended=spool.last_sign_ms)
    header = {key: value for key, value in spool.header.items() if key != "parent"} | {"pid": None}
    (spool.folder / "run.json").write_text(json.dumps(header))
    assert sync() == 1
    assert [run.info.run_name for run in runs()] == ["smoke pipeline", "train_coarse"]


def test_full_disk_costs_one_warning_but_not_the_trial(place, config, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("bmenet.tracking.spool.write_json", no_space)
        patch.setattr("bmenet.tracking.spool.Spool.append", no_space)
        trial = start_trial(config, "study", "trial 0", {})
        trial.log_metrics({"psnr": 1.0}, step=0)
        trial.end("FINISHED")
    assert capsys.readouterr().err.count("No space left") == 1
    assert sync() == 0
