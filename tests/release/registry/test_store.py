"""A published model is found by its alias or number; without one the error says so."""

import shutil

import pytest

from bmenet.release.registry import Registry, fetch_bundle, fetch_model
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import TrackingError, WeightsError
from tests.release.published import make_bundle, make_run, publish


def test_a_registered_bundle_is_fetched_whole_by_alias_or_number_and_what_is_not_there_is_refused(registry, tmp_path):
    import mlflow

    before = mlflow.get_tracking_uri()
    version = publish(registry, "first")
    for uri in ("models:/bmenet@challenger", "models:/bmenet/1"):
        found = fetch_model(uri, tmp_path)
        assert found.is_relative_to(tmp_path)
        assert open_bundle(found / "artifacts" / "bundle").digest == version.digest
    with fetch_bundle(1) as bundle:
        assert bundle.digest == version.digest == open_bundle("bundles/first/bundle").digest
    assert not bundle.folder.exists()
    for uri, message in {
        "models:/bmenet@champion": "expected a published model; the registry answered",
        "models:/bmenet/7": "expected a published model; the registry answered",
        "models:/bmenet": "expected models:/NAME@ALIAS or models:/NAME/VERSION",
    }.items():
        with pytest.raises(WeightsError, match=f"{uri}: {message}"):
            fetch_model(uri, tmp_path)
    assert mlflow.get_tracking_uri() == before  # the caller's own


def test_a_copied_workspace_reads_and_writes_its_own_models(registry, workspace, monkeypatch, capsys):
    digest = publish(registry, "first").digest
    copy = workspace.with_name("copy")
    shutil.copytree(workspace, copy)
    shutil.rmtree(workspace / "mlflow" / "artifacts")
    monkeypatch.chdir(copy)
    with fetch_bundle(1) as bundle:
        assert bundle.digest == digest
    assert "the workspace was copied or moved" in capsys.readouterr().err
    second = publish(Registry(), "second")
    assert "copied" not in capsys.readouterr().err
    with fetch_bundle(2) as bundle:
        assert bundle.digest == second.digest != digest
    assert not (workspace / "mlflow" / "artifacts").exists()


def test_fetch_model_without_a_store_makes_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    message = f"no tracking store in {tmp_path / 'mlflow'}; run inside the workspace or set MLFLOW_TRACKING_URI"
    with pytest.raises(WeightsError, match=message):
        fetch_model("models:/bmenet@champion", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_without_a_bundle_says_so(registry, workspace):
    run_id = make_run(registry)
    (workspace / "old").mkdir()
    (workspace / "old" / "model.json").write_text("{}")
    registry.client.log_artifacts(run_id, "old", "old")
    registry.client.create_registered_model("bmenet")
    registry.client.create_model_version("bmenet", f"runs:/{run_id}/old", run_id)
    with pytest.raises(WeightsError, match=r"models:/bmenet/1: expected a bundle with bundle\.json"), fetch_bundle(1):
        pass
    with pytest.raises(TrackingError, match="models:/bmenet/7"), fetch_bundle(7):
        pass


def test_a_registry_that_cannot_be_reached_is_told_in_one_line_without_the_password(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://jane:secret@127.0.0.1:9")
    registry, bundle = Registry(), make_bundle(workspace / "bundle")
    for ask in (
        registry.versions,
        registry.rollback,
        lambda: registry.promote(1),
        lambda: registry.register(bundle, "model.py", "run", {}),
        lambda: fetch_bundle(1).__enter__(),
    ):
        with pytest.raises(TrackingError, match="registry") as caught:
            ask()
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
