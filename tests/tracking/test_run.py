"""A stage is a run: complete, of a known origin, under its pipeline, and silent about people and machines."""

import getpass
import re
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")
from matplotlib.figure import Figure

from bmenet.config import flatten
from bmenet.runtime.logger import NullLogger
from bmenet.tracking import RunLogger, track_stage
from tests.tracking.conftest import client, history, left


def only_child(runs):
    (child,) = [run for run in runs() if "mlflow.parentRunId" in run.data.tags]
    return child


def test_run_holds_params_metrics_tags_and_inputs(place, config, runs):
    Path("scan.txt").write_text("one")
    with track_stage(config, "train_coarse", inputs=["scan.txt"]) as run:
        for step in range(5):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
        run.log_metrics({"test.psnr.101": 27.5})
        run.log_params({"extra": "x" * 600})
        run.set_tags({"precision": "bf16"})
    child = only_child(runs)
    assert child.info.status == "FINISHED"
    assert child.info.run_name == "train_coarse"
    expected = {key: str(value) for key, value in flatten(config).items()}
    assert {key: child.data.params[key] for key in expected} == expected
    assert child.data.params["extra"] == "x" * 500
    assert history(place, child, "loss") == [(step, 1 / (step + 1)) for step in range(5)]
    assert child.data.metrics["test.psnr.101"] == 27.5
    assert child.data.tags["precision"] == "bf16"
    assert child.data.tags["profile"] == "smoke"
    md5 = "f97c5d29941bfb1b2fdab0874906ab82"  # printf one | md5sum
    assert child.data.tags["dvc.md5.scan.txt"] == md5
    assert [(entry.dataset.name, entry.dataset.digest) for entry in child.inputs.dataset_inputs] == [("scan.txt", md5)]


def test_run_tells_of_paths_elsewhere_only_the_name(place, config, runs):
    places = {
        "root": "/home/canary/scans",
        "covariates": "tables/adni.csv",
        "mirror": "https://canary:secret@canary.org/ds002748?token=secret",
    }
    (source,) = config.data.sources
    data = config.data.model_copy(update={"sources": [source, source.model_copy(update=places)]})
    with track_stage(config.model_copy(update={"data": data}), "train_coarse"):
        pass
    params = only_child(runs).data.params
    assert [params[f"data.sources.1.{name}"] for name in places] == ["scans", "tables/adni.csv", "ds002748"]
    assert not {"canary", "secret"} & set(re.split(r"\W", str(params)))


def test_run_holds_artifacts_as_they_were_when_logged(place, config, runs):
    Path("note.txt").write_text("first")
    Path("weights").mkdir()
    Path("weights/model.json").write_text("{}")
    with track_stage(config, "train_coarse") as run:
        run.log_artifact("note.txt", "notes")
        Path("note.txt").write_text("second")
        run.log_artifact("weights")
        run.log_figure(Figure(), "figures/step-1.png")
        with pytest.raises(FileNotFoundError, match=r"got gone\.txt"):
            run.log_artifact("gone.txt")
    child = only_child(runs)
    folder = Path(client(place).download_artifacts(child.info.run_id, ""))
    assert folder.is_relative_to(place.folder)
    assert (folder / "notes" / "note.txt").read_text() == "first"
    assert (folder / "weights" / "model.json").read_text() == "{}"
    assert (folder / "figures" / "step-1.png").read_bytes().startswith(b"\x89PNG")


def test_steps_arrive_while_the_stage_runs_in_batches(place, config, runs, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setattr("bmenet.tracking.logger._INTERVAL_S", 2.0)
    log_batch, batches = MlflowClient.log_batch, []

    def counting(self, run_id, metrics=(), **others):
        if any(metric.key == "loss" for metric in metrics):
            batches.append(len(metrics))
        return log_batch(self, run_id, metrics, **others)

    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    with track_stage(config, "train_coarse") as run:
        for step in range(2500):
            run.log_metrics({"loss": float(step)}, step)
        deadline = time.monotonic() + 30
        while not runs() or only_child(runs).data.metrics.get("loss") != 2499:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert only_child(runs).info.status == "RUNNING"
    assert sum(batches) == 2500
    assert len(batches) < 10
    assert max(batches) <= 1000


def test_machine_is_measured_by_mlflow_even_after_a_failed_request(place, config, runs, monkeypatch):
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    monkeypatch.setattr("bmenet.tracking.logger._INTERVAL_S", 0.2)
    real, failed = SystemMetricsMonitor.publish_metrics, []

    def fail_once(self, metrics):
        if not failed:
            failed.append(True)
            raise ConnectionError("gone")
        real(self, metrics)

    monkeypatch.setattr(SystemMetricsMonitor, "publish_metrics", fail_once)
    with track_stage(config, "train_coarse") as run:
        run.run_id()
        deadline = time.monotonic() + 30
        while "system/cpu_utilization_percentage" not in only_child(runs).data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert 0 < only_child(runs).data.metrics["system/system_memory_usage_percentage"] < 100


def test_run_carries_the_commit_but_no_account_or_machine(place, config, runs):
    for command in (["init", "-q"], ["add", "params.yaml"], ["commit", "-qm", "start"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *command], check=True)
    with track_stage(config, "train_coarse"):
        pass
    Path("params.yaml").write_text("changed")
    with track_stage(config, "train_coarse"):
        pass
    children = [run for run in runs() if "mlflow.parentRunId" in run.data.tags]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert [run.data.tags["mlflow.source.git.commit"] for run in children] == [commit, commit]
    assert [run.data.tags["git.dirty"] for run in children] == ["false", "true"]
    for run in runs():
        assert run.data.tags["mlflow.user"] == "bmenet"
        assert not {getpass.getuser(), socket.gethostname()} & set(run.data.tags.values())


def test_failed_stage_fails_its_run_and_its_parent(place, config, runs, monkeypatch):
    monkeypatch.setenv("BMENET_EXECUTION", "one")
    with pytest.raises(ZeroDivisionError), track_stage(config, "degrade"):
        raise ZeroDivisionError("subject Canary")
    with track_stage(config, "evaluate"):
        pass
    parent, failed, finished = runs()
    assert (failed.info.status, finished.info.status, parent.info.status) == ("FAILED", "FINISHED", "FAILED")
    assert failed.data.tags["error"] == "ZeroDivisionError"
    assert "Canary" not in str(failed.data.tags)


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(1), "FAILED"),
        (SystemExit(0), "FINISHED"),
    ],
)
def test_stopped_stage_ends_as_it_was_stopped(place, config, runs, stop, status):
    with pytest.raises(type(stop)), track_stage(config, "degrade"):
        raise stop
    assert [run.info.status for run in runs()] == [status, status]


def test_processes_that_start_together_share_one_new_store_and_one_parent(config, start_python):
    code = "with track_stage(config, '{}') as run: run.log_metrics({{'loss': 1}}, 0)"
    stages = [start_python(code.format(stage), BMENET_EXECUTION="one") for stage in ("degrade", "train_coarse")]
    assert [(stage.communicate(), stage.returncode) for stage in stages] == [(("", ""), 0)] * 2
    query = (
        "SELECT name, value FROM runs LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND key = 'mlflow.parentRunId'"
    )
    found = dict(sqlite3.connect("mlflow/mlflow.db").execute(query).fetchall())
    assert set(found) == {"smoke pipeline", "degrade", "train_coarse"}
    assert found["smoke pipeline"] is None
    assert found["degrade"] == found["train_coarse"] is not None


def test_other_processes_of_a_distributed_training_log_nothing(place, config, runs, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    Path("note.txt").write_text("kept")
    with track_stage(config, "train_coarse") as run:
        run.log_metrics({"loss": 1.0}, 0)
        run.log_artifact("note.txt")
    assert type(run) is NullLogger  # whose records take no memory
    assert runs() == []
    assert left(place) == []


def test_null_logger_has_every_method_of_the_run_logger():
    loggers = {name for name in vars(RunLogger) if name.startswith(("log_", "set_"))}
    assert loggers == {name for name in vars(NullLogger) if name.startswith(("log_", "set_"))}


def test_full_disk_costs_one_warning_but_not_the_stage(place, config, monkeypatch, capsys):
    Path("note.txt").write_text("kept")
    with track_stage(config, "train_coarse") as run:
        monkeypatch.setattr("shutil.copyfile", no_space)
        monkeypatch.setattr("bmenet.tracking.record.write_text", no_space)
        run.log_artifact("note.txt")
        run.log_artifact("note.txt")
    assert capsys.readouterr().err.count("No space left") == 1


def no_space(*_arguments, **_fields):
    raise OSError(28, "No space left on device")
