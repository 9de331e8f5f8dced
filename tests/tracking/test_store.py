"""Where the store is, and an experiment that MLflow's page opens on its runs."""

from pathlib import Path

import pytest

from bmenet.tracking import track_stage
from bmenet.tracking.store import Place
from tests.tracking.conftest import client


def test_place_is_absolute_and_in_the_workspace(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = Place.of_workspace()
    assert place.uri == f"sqlite:///{workspace}/mlflow/mlflow.db"
    assert place.artifacts == f"file://{workspace}/mlflow/artifacts"
    assert place.pending == workspace / "mlflow" / "pending"


def test_place_of_a_temporary_dvc_experiment_is_the_workspace_it_came_from(workspace, monkeypatch):
    copy = Path(".dvc/tmp/exps/standalone/tmpabc")
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert Place.of_workspace().folder == workspace / "mlflow"


def test_place_of_a_server_leaves_artifacts_to_it(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    place = Place.of_workspace()
    assert (place.uri, place.artifacts) == ("http://127.0.0.1:5000", None)


@pytest.mark.parametrize("is_there", [False, True])
def test_experiment_says_that_it_is_model_training(place, config, is_there):
    if is_there:  # made by an older version, or by hand
        client(place).create_experiment("bmenet")
    with track_stage(config, "degrade"):
        pass
    assert client(place).get_experiment_by_name("bmenet").tags["mlflow.experimentKind"] == "custom_model_development"


def test_experiment_keeps_the_kind_that_somebody_chose(place, config):
    client(place).create_experiment("bmenet", tags={"mlflow.experimentKind": "regression"})
    with track_stage(config, "degrade"):
        pass
    assert client(place).get_experiment_by_name("bmenet").tags["mlflow.experimentKind"] == "regression"
