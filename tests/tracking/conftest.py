"""A workspace whose tracking store already has its tables: making them takes seconds."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bmenet.config import Config, load_config
from bmenet.tracking.store import Place
from tests.stores import add_store

NOWHERE = "http://127.0.0.1:9"


def client(place: Place) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=place.uri)


def history(place: Place, run: Any, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client(place).get_metric_history(run.info.run_id, key)]


def left(place: Place) -> list[Path]:
    """Return the folders of records that the store does not have in full."""
    return list(place.pending.glob("*/"))


@pytest.fixture
def config(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    for name in ("MLFLOW_TRACKING_URI", "BMENET_EXECUTION", "RANK"):
        monkeypatch.delenv(name, raising=False)
    return load_config()


@pytest.fixture
def place(workspace: Path, config: Config) -> Place:
    add_store(workspace)
    return Place.of_workspace()


@pytest.fixture
def runs(place: Place) -> Callable[[], list[Any]]:
    """Return all runs of the store, oldest first, each parent before its first child."""

    def search() -> list[Any]:
        experiment = client(place).get_experiment_by_name("bmenet")
        found = [] if experiment is None else client(place).search_runs([experiment.experiment_id])
        return sorted(found, key=lambda run: (run.info.start_time, "mlflow.parentRunId" in run.data.tags))

    return search


@pytest.fixture
def start_python(config: Config) -> Callable[..., subprocess.Popen]:
    """Start Python in the workspace with `track_stage` and a `config` at hand."""
    setting = "from bmenet.config import load_config\nfrom bmenet.tracking import track_stage\nconfig = load_config()\n"

    def start(code: str, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", setting + code],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
