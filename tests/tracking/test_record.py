"""The store is away, or the process was killed: nothing is lost, nothing is doubled."""

import signal
import sqlite3
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bmenet.cli import app
from bmenet.runtime.errors import TrackingError
from bmenet.tracking import sync, track_stage
from bmenet.tracking.record import idle_records
from bmenet.tracking.store import Store
from tests.tracking.conftest import NOWHERE, client, history, left
from tests.tracking.test_run import only_child


def train(config, steps, **options):
    with track_stage(config, "train_coarse", **options) as run:
        for step in steps:
            run.log_metrics({"loss": float(step)}, step)
        Path("note.txt").write_text("kept")
        run.log_artifact("note.txt", "notes")


def test_server_that_is_down_costs_one_warning_and_gets_everything_later(place, config, runs, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    start = time.monotonic()
    train(config, range(3))
    assert time.monotonic() - start < 60  # mlflow's own retries would take minutes
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("tracking:") == 1
    assert "sync-tracking" in captured.err
    with pytest.raises(TrackingError, match="takes 1 runs; got: API request"):
        sync()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    result = CliRunner().invoke(app, ["sync-tracking"])
    assert (result.exit_code, result.stdout) == (0, "1 run sent\n")
    child = only_child(runs)
    assert child.info.status == "FINISHED"
    assert child.data.params["seed"] == str(config.seed)
    assert history(place, child, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [file.path for file in client(place).list_artifacts(child.info.run_id, "notes")] == ["notes/note.txt"]
    assert left(place) == []
    assert sync() == 0


def test_next_stage_sends_what_the_last_one_could_not(place, config, runs, monkeypatch):
    monkeypatch.setenv("BMENET_EXECUTION", "one")
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        train(config, range(3))
    with track_stage(config, "evaluate"):
        pass
    found = {run.info.run_name: run.info.status for run in runs()}
    assert found == dict.fromkeys(("evaluate", "smoke pipeline", "train_coarse"), "FINISHED")


def test_server_that_vanishes_half_way_gets_the_rest_later_and_nothing_twice(place, config, runs, monkeypatch):
    from mlflow.tracking import MlflowClient

    def vanish(*_arguments):
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", vanish)
        train(config, range(3))
    assert only_child(runs).info.status == "RUNNING"
    (record,) = idle_records(place.pending)
    loss = client(place).get_metric_history(only_child(runs).info.run_id, "loss")
    record.unsent += [["metric", "loss", one.value, one.timestamp, one.step] for one in loss]  # sent, and not noted
    record.save()
    assert sync() == 1
    child = only_child(runs)
    assert child.info.status == "FINISHED"
    assert history(place, child, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert client(place).list_artifacts(child.info.run_id, "notes") != []
    assert left(place) == []


def test_locked_database_does_not_stop_the_stage(place, config, runs, capsys):
    other = sqlite3.connect("mlflow/mlflow.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    train(config, range(3))
    other.execute("ROLLBACK")
    assert "database is locked" in capsys.readouterr().err
    assert sync() == 1
    assert len(history(place, only_child(runs), "loss")) == 3


def test_record_that_the_store_refuses_is_reported_and_the_rest_is_sent(place, config, runs, capsys):
    with track_stage(config, "train_coarse") as run:
        run.log_params({"seed": "another"})
        run.log_metrics({"loss": 1.0}, 7)
    assert "1 records were refused" in capsys.readouterr().err
    assert history(place, only_child(runs), "loss") == [(7, 1.0)]
    assert only_child(runs).data.params["seed"] == str(config.seed)


def test_emptied_store_gets_the_rest_of_a_run_as_a_new_one(place, config, runs, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    train(config, range(3))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (record,) = idle_records(place.pending)
    store = Store(place)
    record.store, record.run_id = store.name, "0" * 32
    store.opened.add(record.folder)
    with pytest.raises(Exception, match="not found"):
        store.send(record)
    store.send(record)
    assert history(place, only_child(runs), "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def kill_in_training(start_python, resume_key, **variables):
    process = start_python(
        "import time, bmenet.tracking.logger\n"
        "bmenet.tracking.logger._INTERVAL_S = 0.1\n"
        f"with track_stage(config, 'train_coarse', resume_key={resume_key!r}) as run:\n"
        "    for step in range(4): run.log_metrics({'loss': float(step)}, step)\n"
        "    while run.record.unsent and not run._warned: time.sleep(0.1)\n"  # sent, or the store is away
        "    time.sleep(1)\n"
        "    print('training', flush=True)\n"
        "    time.sleep(60)\n",
        **variables,
    )
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_run_is_marked_when_the_next_stage_starts_and_its_training_goes_on_in_it(
    place, config, runs, start_python
):
    kill_in_training(start_python, "key")
    with track_stage(config, "degrade"):  # meanwhile the run is known as killed
        pass
    statuses = [(run.info.run_name, run.info.status) for run in runs()]
    killed, finished = (
        [("smoke pipeline", status), (stage, status)]
        for stage, status in (("train_coarse", "KILLED"), ("degrade", "FINISHED"))
    )
    assert statuses == killed + finished
    train(config, range(2, 6), resume_key="key")  # from the checkpoint of step 2
    _one_whole_run(place, runs)


def test_training_killed_while_the_server_was_down_is_sent_with_its_end(place, config, runs, start_python):
    kill_in_training(start_python, "key", MLFLOW_TRACKING_URI=NOWHERE)
    train(config, range(2, 6), resume_key="key")
    _one_whole_run(place, runs)


def _one_whole_run(place, runs):
    (child,) = [run for run in runs() if run.info.run_name == "train_coarse"]
    assert child.info.status == "FINISHED"
    assert history(place, child, "loss") == [(step, float(step)) for step in range(6)]
    assert client(place).get_run(child.data.tags["mlflow.parentRunId"]).info.status == "FINISHED"
    assert left(place) == []


def test_training_with_another_key_is_another_run(place, config, runs):
    for key in ("a", "b"):
        with pytest.raises(KeyboardInterrupt), track_stage(config, "train_coarse", resume_key=key):
            raise KeyboardInterrupt
    train(config, range(2), resume_key="b")
    statuses = [run.info.status for run in runs() if run.info.run_name == "train_coarse"]
    assert statuses == ["KILLED", "FINISHED"]


def test_run_of_a_living_process_is_left_alone(place, config, runs):
    with track_stage(config, "train_coarse", resume_key="key") as run:
        run.log_metrics({"loss": 1.0}, 0)
        assert sync() == 0
        with track_stage(config, "train_coarse", resume_key="key"):
            pass
    statuses = [run.info.status for run in runs() if run.info.run_name == "train_coarse"]
    assert statuses == ["FINISHED", "FINISHED"]
