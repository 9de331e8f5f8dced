"""A bundle becomes a version: whole, described, without a pickle, and never run for it."""

import base64
import re
import warnings

import nibabel as nib
import pytest

from bmenet.release.registry import fetch_model
from bmenet.release.registry.model_folder import input_example, requirements, signature
from bmenet.runtime.errors import TrackingError
from bmenet.serving import Request
from tests.release.published import make_run, publish


def test_a_version_tells_what_it_is_and_where_it_comes_from(registry):
    run_id = make_run(registry)
    version = publish(registry, "first", run_id)
    expected = {
        "bundle.format": "1",
        "bundle.spacing_mm": "4",
        "bundle.has_fine": "false",
        "bundle.has_field": "false",
        "lineage.dvc.md5.data/split.json": "2" * 32,
        "profile": "smoke",
    }
    assert expected.items() <= version.tags.items()
    entity, model = registry.client.get_model_version("bmenet", "1"), registry.client.get_logged_model(version.model_id)
    assert (entity.status, entity.run_id) == (str(model.status), model.source_run_id) == ("READY", run_id)
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
    assert model.signature.inputs.input_names() == list(Request.model_fields)
    assert model.signature.outputs.input_names() == ["nifti"]


def test_the_example_fits_the_signature_and_requirements_are_pinned_and_leave_out_this_package():
    from mlflow.models.utils import _enforce_schema

    example = input_example()
    assert len(_enforce_schema(example, signature().inputs)) == 1
    assert nib.Nifti1Image.from_bytes(base64.b64decode(example["nifti"][0])).get_fdata().max() > 0
    pinned = requirements()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", one) for one in pinned if not one.startswith("onnxruntime"))
    names = {re.split(r"[=<>]", one)[0] for one in pinned}
    assert {"mlflow", "torch", "nibabel"} <= names
    assert "bmenet" not in names


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
