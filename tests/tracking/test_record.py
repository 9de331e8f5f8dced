"""The store is away, or the process was killed: nothing is lost, nothing is doubled."""

import json
import os
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bmenet.cli import app
from bmenet.runtime.errors import TrackingError
from bmenet.tracking import log_trial, sync, track_stage
from bmenet.tracking.record import Record, claim, idle_records
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


def kill_in_training(start_python, resume_key, wait_s=5, **variables):
    process = start_python(
        "import time, bmenet.tracking.logger\n"
        "bmenet.tracking.logger._INTERVAL_S = 0.1\n"
        f"with track_stage(config, 'train_coarse', resume_key={resume_key!r}) as run:\n"
        "    for step in range(4): run.log_metrics({'loss': float(step)}, step)\n"
        "    open('note.txt', 'w').write('kept')\n"
        "    run.log_artifact('note.txt', 'killed')\n"
        f"    time.sleep({wait_s})\n"
        "    print('training', flush=True)\n"
        "    time.sleep(60)\n",
        **variables,
    )
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_run_is_marked_when_the_next_stage_starts(place, config, runs, start_python):
    kill_in_training(start_python, None)
    with track_stage(config, "train_coarse"):
        pass
    statuses = [(run.info.run_name, run.info.status) for run in runs()]
    assert statuses == [
        ("smoke pipeline", "KILLED"),
        ("train_coarse", "KILLED"),
        ("smoke pipeline", "FINISHED"),
        ("train_coarse", "FINISHED"),
    ]
    assert left(place) == []


def test_killed_training_goes_on_in_the_same_run(place, config, runs, start_python):
    kill_in_training(start_python, "key")
    with track_stage(config, "degrade"):  # meanwhile the run is known as killed
        pass
    assert [run.info.status for run in runs() if run.info.run_name == "train_coarse"] == ["KILLED"]
    child = go_on(place, config, runs)
    parent = client(place).get_run(child.data.tags["mlflow.parentRunId"])
    assert parent.info.status == "FINISHED"
    assert left(place) == []


def go_on(place, config, runs):
    """Go on from the checkpoint of step 2; return the run, which holds every step once, and the files of both."""
    train(config, range(2, 6), resume_key="key")
    (child,) = [run for run in runs() if run.info.run_name == "train_coarse"]
    assert child.info.status == "FINISHED"
    assert history(place, child, "loss") == [(step, float(step)) for step in range(6)]
    assert {file.path for file in client(place).list_artifacts(child.info.run_id)} == {"killed", "notes"}
    return child


def test_training_killed_while_the_server_hangs_loses_nothing(place, config, runs, start_python):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        kill_in_training(start_python, "key", wait_s=0, MLFLOW_TRACKING_URI=address)
    go_on(place, config, runs)


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


def made(folder, **facts):
    return Record(folder, "train_coarse", "train_coarse", "bmenet", folder.name, {"profile": "smoke"}, **facts)


def test_what_waits_is_appended_once_and_read_again_past_a_torn_line(tmp_path):
    record, entries = made(tmp_path / "run"), tmp_path / "run" / "entries.jsonl"
    record.add(*(["metric", "loss", float(step), 0, step] for step in range(1000)))
    record.forget(998)
    record.save()
    before = entries.stat().st_size
    record.add(["tag", "state", "on"])
    record.save()
    assert entries.stat().st_size - before == len('\n["tag", "state", "on"]')
    assert (record.folder / "run.json").stat().st_size < 1000
    with open(entries, "a") as handle:
        handle.write('\n["tag", "to')
    (again,) = idle_records(tmp_path)
    again.add(["tag", "state", "off"])
    (last,) = idle_records(tmp_path)
    waiting = [["metric", "loss", float(step), 0, step] for step in (998, 999)]
    assert last.unsent == [*waiting, ["tag", "state", "on"], ["tag", "state", "off"]]
    assert last.steps == {"loss": 999}


def test_killed_run_that_will_not_go_on_ends_when_it_was_last_written(tmp_path):
    killed = made(tmp_path / "killed", resume_key="a")
    killed.add(["tag", "state", "on"])
    killed.save()
    for file in killed.folder.iterdir():
        os.utime(file, (1000, 1000))
    claim(made(tmp_path / "new", resume_key="b"))
    (record,) = idle_records(tmp_path)
    assert (record.status, record.ended, record.resume_key) == ("KILLED", 1_000_000, None)


def test_records_that_cannot_be_read_cost_one_warning(place, config, runs, capsys):
    shape = dict.fromkeys(("stage", "name", "experiment", "key", "tags"), "") | {"owner": []}
    damaged = {"torn": "{", "later": '{"version": 9}', "list": "[]", "shape": json.dumps(shape)}
    for name, text in damaged.items():
        (place.pending / name).mkdir(parents=True)
        (place.pending / name / "run.json").write_text(text)
    (place.folder / "spool" / "former").mkdir(parents=True)
    (place.folder / "spool" / "former" / "run.json").write_text("{}")
    train(config, range(3))
    assert sync() == 0
    told = capsys.readouterr().err
    assert {name: told.count(f"{name}/run.json") for name in damaged} == dict.fromkeys(damaged, 1)
    assert told.count("1 runs of version 0.1") == 1
    assert only_child(runs).info.status == "FINISHED"
    assert len(left(place)) == 4


def test_record_that_fails_does_not_keep_back_the_younger_ones(place, config, runs, monkeypatch):
    for number in range(3):
        log_trial(config, "study", number, "FINISHED", params={})
    real = Store.send

    def send(self, record):
        if record.name != "trial 2":
            raise ConnectionError(f"cannot take {record.name}")
        real(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "send", send)
        with pytest.raises(TrackingError, match="got: cannot take trial 0"):
            sync()
    assert sorted(run.info.run_name for run in runs()) == ["trial 2", "tune"]
    assert sync() == 2
