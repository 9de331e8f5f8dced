"""A study is one run, and each of its trials a run nested under it, written by any process and sent by the study."""

from datetime import datetime
from pathlib import Path

import pytest

from bmenet.tracking import log_trial, sync, track_stage
from bmenet.tracking.run import _code_tags_of_trials
from tests.tracking.conftest import client, history, left


@pytest.fixture
def by_name(runs):
    """Return {name: run} of a store in which no two runs have the same name."""

    def search():
        everything = runs()
        found = {run.info.run_name: run for run in everything}
        assert len(found) == len(everything)
        return found

    return search


def parent(run):
    return run.data.tags.get("mlflow.parentRunId")


def test_trial_is_nested_under_its_study_and_holds_what_was_logged(place, config, by_name):
    Path("best.png").write_text("kept")
    with track_stage(config, "tune", run_key="study"):
        log_trial(
            config,
            "study",
            12,
            "FINISHED",
            params={"eta": 0.5},
            metrics={"psnr": 22.5},
            curves={"objective": {5: 20.0, 10: 21.0}},
            tags={"trial.state": "complete"},
            artifacts={"best": Path("best.png")},
            started=datetime(2026, 1, 2, 3, 4, 5),
            ended=datetime(2026, 1, 2, 3, 4, 7),
        )
    found = by_name()
    assert set(found) == {"smoke pipeline", "tune", "trial 12"}
    run = found["trial 12"]
    assert parent(run) == found["tune"].info.run_id
    assert parent(found["tune"]) == found["smoke pipeline"].info.run_id
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 2000
    assert run.data.params == {"eta": "0.5"}
    assert run.data.metrics["psnr"] == 22.5
    assert history(place, run, "objective") == [(5, 20.0), (10, 21.0)]
    expected = {"profile": "smoke", "stage": "tune", "trial.number": "12", "trial.state": "complete"}
    assert run.data.tags.items() >= expected.items()
    assert "trial.number" not in found["tune"].data.tags
    assert [file.path for file in client(place).list_artifacts(run.info.run_id, "best")] == ["best/best.png"]
    assert left(place) == []


def test_pruned_and_failed_trials_leave_the_study_finished(place, config, by_name, monkeypatch):
    asked = []
    _code_tags_of_trials.cache_clear()
    with track_stage(config, "tune", run_key="study"):
        monkeypatch.setattr("bmenet.tracking.lineage._git", lambda *arguments: asked.append(arguments))
        log_trial(config, "study", 0, "KILLED", params={}, tags={"trial.state": "pruned"})
        log_trial(config, "study", 1, "FAILED", params={})
    assert len(asked) == 1  # of a thousand trials, too
    found = by_name()
    assert {name: run.info.status for name, run in found.items()} == {
        "smoke pipeline": "FINISHED",
        "tune": "FINISHED",
        "trial 0": "KILLED",
        "trial 1": "FAILED",
    }
    assert found["trial 0"].data.tags["trial.state"] == "pruned"


def test_worker_imports_no_mlflow_and_its_trial_is_sent_by_the_study(place, config, by_name, start_python):
    code = (
        "from bmenet.tracking import log_trial\n"
        "log_trial(config, 'study', 0, 'FINISHED', params={})\n"
        "import sys; print('mlflow' in sys.modules)"
    )
    assert start_python(code).communicate() == ("False\n", "")
    assert by_name() == {}
    with track_stage(config, "tune", run_key="study"):
        pass
    assert set(by_name()) == {"smoke pipeline", "tune", "trial 0"}


def test_trial_sent_before_its_study_waits_under_it(place, config, by_name):
    for _ in range(2):  # recorded twice, it is one run
        log_trial(config, "study", 0, "FAILED", params={"eta": 0.5}, tags={"tune.worker": "1"})
        assert sync() == 1
    found = by_name()
    assert set(found) == {"tune", "trial 0"}
    study = found["tune"].info.run_id
    assert (parent(found["trial 0"]), parent(found["tune"])) == (study, None)
    assert "tune.worker" not in found["tune"].data.tags
    with track_stage(config, "tune", run_key="study"):
        pass
    found = by_name()
    assert found["tune"].info.run_id == study
    assert parent(found["tune"]) == found["smoke pipeline"].info.run_id
    assert (found["tune"].info.status, found["smoke pipeline"].info.status) == ("FINISHED", "FINISHED")


def test_two_processes_of_one_study_write_one_run(place, config, by_name, start_python):
    code = (
        "from bmenet.tracking import log_trial\n"
        "with track_stage(config, 'tune', run_key='study') as run:\n"
        "    run.set_tags({'other': 'yes'})\n"
        "    log_trial(config, 'study', 1, 'FINISHED', params={})\n"
    )
    with track_stage(config, "tune", run_key="study") as run:
        run.run_id()
        run.set_tags({"this": "yes"})
        log_trial(config, "study", 0, "FINISHED", params={})
        assert start_python(code).communicate() == ("", "")
    found = by_name()
    assert set(found) == {"smoke pipeline", "tune", "trial 0", "trial 1"}  # the second has no pipeline of its own
    assert found["tune"].data.tags.items() >= {"this": "yes", "other": "yes"}.items()
    assert {parent(found[f"trial {number}"]) for number in range(2)} == {found["tune"].info.run_id}
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert left(place) == []


def test_studies_do_not_mix(place, config, runs):
    for study in ("first", "second"):
        with track_stage(config, "tune", run_key=study):
            for number in range(2):
                log_trial(config, study, number, "FINISHED", params={}, tags={"study": study})
    studies = {run.data.tags["bmenet.run"]: run.info.run_id for run in runs() if run.info.run_name == "tune"}
    assert set(studies) == {"first", "second"}
    trials = [run for run in runs() if "study" in run.data.tags]
    assert len(trials) == 4
    assert all(parent(run) == studies[run.data.tags["study"]] for run in trials)
