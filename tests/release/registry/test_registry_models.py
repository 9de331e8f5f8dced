"""A bundle becomes a version: whole, described, without a pickle, and never run for it; the same bundle only once."""

import base64
import re
import warnings
from pathlib import Path

import nibabel as nib
import pytest

from bmenet.config import load_config
from bmenet.release.registry import CHALLENGER, Registry, fetch_bundle, fetch_model, own_run
from bmenet.release.registry.model_folder import input_example, requirements, signature
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.errors import TrackingError, WeightsError
from bmenet.tracking import track_stage
from tests.release.gate.published import make_bundle, make_run, make_store, publish


@pytest.fixture
def registry(workspace, monkeypatch):
    make_store(workspace, monkeypatch)
    return Registry()


def test_a_registered_bundle_comes_back_whole_by_version_and_by_alias(registry, tmp_path):
    version = publish(registry, "first")
    assert version.number == 1
    assert version.aliases == (CHALLENGER,)
    digest = open_bundle("bundles/first/bundle").digest
    assert version.digest == digest
    with fetch_bundle(1) as bundle:
        assert bundle.digest == digest
        folder = bundle.folder
    assert not folder.exists()
    (tmp_path / "copy").mkdir()
    found = fetch_model("models:/bmenet@challenger", tmp_path / "copy")
    assert open_bundle(found / "artifacts" / "bundle").digest == digest


def test_a_version_tells_what_it_is_and_where_it_comes_from(registry):
    run_id = make_run(registry)
    version = publish(registry, "first", run_id)
    expected = {
        "bundle.format": "1",
        "bundle.spacing_mm": "4",
        "bundle.has_fine": "false",
        "lineage.dvc.md5.data/split.json": "2" * 32,
        "profile": "smoke",
    }
    assert expected.items() <= version.tags.items()
    entity = registry.client.get_model_version("bmenet", "1")
    assert (entity.status, entity.run_id) == ("READY", run_id)
    model = registry.client.get_logged_model(version.model_id)
    assert str(model.status) == "READY"
    assert model.source_run_id == run_id
    assert model.tags["bundle.digest"] == version.digest
    assert [output.model_id for output in registry.client.get_run(run_id).outputs.model_outputs] == [version.model_id]


def test_the_files_of_a_model_hold_no_pickle_no_place_and_the_signature(registry, workspace):
    import mlflow

    publish(registry, "first")
    folder = fetch_model("models:/bmenet/1", workspace)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "enhance_model.py", "input_example.json", "artifacts/bundle/bundle.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".pth"))]
    description = (folder / "MLmodel").read_text()
    assert "python_model:" not in description  # the key under which MLflow keeps a pickled one
    assert str(workspace) not in description
    with warnings.catch_warnings(record=True), pytest.raises(RuntimeError, match="a model must not be loaded"):
        mlflow.pyfunc.load_model(str(folder))  # its code was found, and ran
    model = mlflow.models.Model.load(str(folder))
    assert model.signature == signature()
    assert model.signature.inputs.required_input_names() == ["nifti"]
    assert model.signature.inputs.input_names() == ["nifti", "stage", "steps", "seed"]
    assert model.signature.outputs.input_names() == ["nifti"]


def test_the_example_is_a_volume_that_fits_the_signature():
    from mlflow.models.utils import _enforce_schema

    example = input_example()
    assert len(_enforce_schema(example, signature().inputs)) == 1
    volume = nib.Nifti1Image.from_bytes(base64.b64decode(example["nifti"][0]))
    assert volume.ndim == 3
    assert volume.get_fdata().max() > 0


def test_requirements_are_pinned_and_leave_out_this_package():
    pinned = requirements()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", one) for one in pinned if not one.startswith("onnxruntime"))
    names = {re.split(r"[=<>]", one)[0] for one in pinned}
    assert {"mlflow", "torch", "nibabel"} <= names
    assert "bmenet" not in names


def test_the_same_bundle_is_registered_once_and_another_one_is_the_next_version(registry):
    first, second = publish(registry, "first"), publish(registry, "second")
    assert (first.number, second.number) == (1, 2)
    again = publish(registry, "first")
    assert again.number == 1
    assert again.aliases == (CHALLENGER,)
    assert [version.aliases for version in registry.versions()] == [(CHALLENGER,), ()]


def test_figures_are_tags_of_the_version_and_metrics_of_its_model_and_run(registry):
    run_id = make_run(registry)
    version = publish(registry, "first", run_id)
    registry.log_figures(version, run_id, {"validation.psnr": 30.25, "test.coarse.psnr": 29.5})
    assert registry.versions()[0].tags["test.coarse.psnr"] == "29.5"
    assert registry.client.get_run(run_id).data.metrics == {"validation.psnr": 30.25, "test.coarse.psnr": 29.5}
    model = registry.client.get_logged_model(version.model_id)
    assert {metric.key: metric.value for metric in model.metrics}["validation.psnr"] == 30.25


def test_a_model_that_was_not_stored_whole_is_marked_and_not_registered(registry, monkeypatch):
    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr(type(registry.client), "log_model_artifacts", refuse)
    run_id = make_run(registry)
    with pytest.raises(TrackingError, match="no space left"):
        publish(registry, "first", run_id)
    assert registry.versions() == []
    experiment = registry.client.get_run(run_id).info.experiment_id
    assert [str(model.status) for model in registry.client.search_logged_models([experiment])] == ["FAILED"]


def test_a_version_without_a_bundle_says_so(registry, workspace):
    run_id = make_run(registry)
    (workspace / "old").mkdir()
    (workspace / "old" / "model.json").write_text("{}")
    registry.client.log_artifacts(run_id, "old", "old")
    registry.client.create_registered_model("bmenet")
    registry.client.create_model_version("bmenet", f"{registry.client.get_run(run_id).info.artifact_uri}/old", run_id)
    with (
        pytest.raises(WeightsError, match=r"models:/bmenet/1: expected a bundle with bundle\.json"),
        fetch_bundle(1),
    ):
        pass
    with pytest.raises(TrackingError, match="models:/bmenet/7"), fetch_bundle(7):
        pass


def test_a_registry_that_cannot_be_reached_is_told_in_one_line_without_the_password(workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://jane:secret@127.0.0.1:9")
    registry = Registry()
    bundle = make_bundle(workspace / "bundle")
    for ask in (registry.versions, registry.history, lambda: registry.register(bundle, Path("model.py"), "run", {})):
        with pytest.raises(TrackingError, match="expected a model registry that answers; got: ") as caught:
            ask()
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_a_store_none_is_made(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(WeightsError, match=r"bmenet: no tracking store in .*; run inside the workspace"):
        Registry()
    assert not (workspace / "mlflow").exists()


def test_the_run_of_a_stage_is_its_own_and_one_that_is_not_taken_is_an_error(registry, monkeypatch):
    with pytest.raises(TrackingError, match="expected a tracked run of the stage publish in this process; got none"):
        own_run("publish")
    with track_stage(load_config(), "publish") as logger:
        run_id = own_run("publish")
        logger.set_tags({"seen": "here"})
        with pytest.raises(TrackingError, match="a tracked run of the stage evaluate"):
            own_run("evaluate")
    assert registry.client.get_run(run_id).data.tags["seen"] == "here"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with (
        track_stage(load_config(), "publish"),
        pytest.raises(TrackingError, match="expected the tracking store to take the run of the stage publish within"),
    ):
        own_run("publish", timeout_s=0.3)


def test_who_waits_too_long_for_another_process_is_told(registry, workspace, monkeypatch):
    monkeypatch.setattr("bmenet.release.registry.registry._LOCK_TIMEOUT_S", 0.1)
    waiting = Registry()
    with (
        registry.lock(),
        pytest.raises(TrackingError, match="expected to be the only one who changes the registry within"),
    ):
        publish(waiting, "first")
    assert registry.versions() == []
