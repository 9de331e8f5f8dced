from pathlib import Path

from bmenet.tracking.place import Place


def test_place_is_absolute_and_in_the_workspace(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = Place.of_workspace()
    assert place.uri == f"sqlite:///{workspace}/mlflow/mlflow.db"
    assert place.artifacts == f"file://{workspace}/mlflow/artifacts"
    assert place.spool == workspace / "mlflow" / "spool"


def test_place_of_a_temporary_dvc_experiment_is_the_workspace_it_came_from(workspace, monkeypatch):
    copy = Path(".dvc/tmp/exps/standalone/tmpabc")
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert Place.of_workspace().folder == workspace / "mlflow"


def test_place_of_a_server_leaves_artifacts_to_it(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    place = Place.of_workspace()
    assert (place.uri, place.artifacts) == ("http://127.0.0.1:5000", None)
