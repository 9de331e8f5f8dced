"""A published model is found by its alias; without one the error says so."""

import os

import pytest

from bmenet.release.registry import fetch_model
from bmenet.release.registry.access import as_default
from bmenet.runtime.errors import WeightsError
from bmenet.tracking.place import Place


def test_fetch_model_copies_what_an_alias_stands_for(place, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # mlflow sets it: monkeypatch takes that back
    with pytest.raises(WeightsError, match="models:/bmenet@champion: expected a published model"):
        fetch_model("models:/bmenet@champion", tmp_path)

    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model.json").write_text("{}")
    client = MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
    run = client.create_run(client.create_experiment("test", artifact_location=(tmp_path / "artifacts").as_uri()))
    client.log_artifacts(run.info.run_id, str(tmp_path / "bundle"), "bundle")
    client.create_registered_model("bmenet")
    version = client.create_model_version("bmenet", f"runs:/{run.info.run_id}/bundle", run.info.run_id)
    client.set_registered_model_alias("bmenet", "champion", version.version)
    (tmp_path / "copy").mkdir()
    copy = fetch_model("models:/bmenet@champion", tmp_path / "copy")
    assert (copy / "model.json").read_text() == "{}"
    assert copy.is_relative_to(tmp_path / "copy")


def test_fetch_model_without_a_store_makes_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    message = f"no tracking store in {tmp_path / 'mlflow'}; run inside the workspace or set MLFLOW_TRACKING_URI"
    with pytest.raises(WeightsError, match=message):
        fetch_model("models:/bmenet@champion", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variable", [None, "sqlite:///theirs.db"])
@pytest.mark.parametrize("setting", [None, "sqlite:///ours.db"])
def test_as_default_leaves_mlflow_as_it_was(place, monkeypatch, variable, setting):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # what mlflow sets is taken back
    mlflow.set_tracking_uri(setting)
    if variable is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    before = mlflow.get_tracking_uri()
    for uri in (place.uri, before):
        with as_default(Place(place.folder, uri)):
            assert mlflow.get_tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == uri
        assert mlflow.get_tracking_uri() == before
        assert os.environ.get("MLFLOW_TRACKING_URI") == variable
    if setting is None:  # and it goes on to heed the variable
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///later.db")
        assert mlflow.get_tracking_uri() == "sqlite:///later.db"
    mlflow.set_tracking_uri(None)
