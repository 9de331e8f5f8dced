"""Where the store is, and an experiment that MLflow's page opens on its runs."""

from pathlib import Path

import pytest

from bmenet.tracking import track_stage
from bmenet.tracking.store import Place
from tests.tracking.conftest import client


def test_place_is_the_workspace_also_of_a_temporary_dvc_experiment_or_a_server(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = Place.of_workspace()
    assert place.uri == f"sqlite:///{workspace}/mlflow/mlflow.db"
    assert place.artifacts == f"file://{workspace}/mlflow/artifacts"
    assert place.pending == workspace / "mlflow" / "pending"
    copy = Path(".dvc/tmp/exps/standalone/tmpabc")
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert Place.of_workspace() == place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    server = Place.of_workspace()
    assert (server.uri, server.artifacts) == ("http://127.0.0.1:5000", None)  # which it decides itself


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "custom_model_development"),
        ({}, "custom_model_development"),  # made by an older version, or by hand
        ({"mlflow.experimentKind": "regression"}, "regression"),  # chosen by somebody
    ],
)
def test_page_of_the_experiment_opens_on_its_runs(place, config, before, after):
    if before is not None:
        client(place).create_experiment("bmenet", tags=before)
    with track_stage(config, "degrade"):
        pass
    assert client(place).get_experiment_by_name("bmenet").tags["mlflow.experimentKind"] == after
