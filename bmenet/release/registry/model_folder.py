"""A bundle as an MLflow model: the code that serves it, what it takes and gives, an example, what it needs."""

import base64
import importlib.metadata
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from packaging.requirements import Requirement
from packaging.version import Version

from bmenet import __version__
from bmenet.release.registry.store import MODEL_NAME, SPACING_TAG
from bmenet.restoration.bundle import Bundle
from bmenet.tracking.store import load_mlflow

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

_DESCRIPTION = "Coarse-to-fine restoration of T1-weighted brain MRI"
_VERSIONS_TAG = "mlflow.modelVersions"  # how MLflow's pages link a logged model to its versions
_READY_TIMEOUT_S = 600
_EXAMPLE_SHAPE = (16, 18, 16)
_EXAMPLE_SPACING_MM = 10.0


def write_model_folder(folder: Path, bundle: Bundle, model_file: Path, model_id: str, run_id: str) -> None:
    """Write an MLflow model into a new folder: a copy of the bundle and of the code that serves it (no pickle).

    The model itself is not run. ``mlflow.pyfunc.log_model`` would load it and restore the example, to see whether it
    can be served.
    """
    load_mlflow()
    import mlflow
    from mlflow.models import Model

    model = Model(run_id=run_id, model_id=model_id, model_uuid=model_id)
    # About type hints, which the signature makes needless; a filter would not hold, mlflow sets its own.
    with warnings.catch_warnings(record=True):
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(model_file),
            artifacts={"bundle": os.path.relpath(bundle.folder)},  # kept in the model: no home directory
            signature=signature(),
            input_example=input_example(),
            pip_requirements=requirements(),
            metadata={"bmenet": __version__},
            mlflow_model=model,
        )
    model.flavors["python_function"]["model_code_path"] = model_file.name  # it wrote the absolute path
    model.save(folder / "MLmodel")


def create_version(client: "MlflowClient", bundle: Bundle, model_file: Path, run_id: str, tags: dict[str, str]) -> int:
    """Log a bundle as a model of the run that made it, register that, and return the version's number.

    `model_file` is the code that serves it. A model that is not whole is marked as failed.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.exceptions import MlflowException

    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, MODEL_NAME, run_id, tags=tags, model_type="image restoration")
    try:
        with tempfile.TemporaryDirectory(prefix="bmenet-publish-") as temporary:
            folder = Path(temporary) / "model"
            write_model_folder(folder, bundle, model_file, model.model_id, run_id)
            client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    except BaseException:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    try:
        client.create_registered_model(MODEL_NAME, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        MODEL_NAME,
        model.artifact_location,  # models:/ID would be looked up in mlflow's default store, not in this one
        run_id,
        tags=tags,
        await_creation_for=_READY_TIMEOUT_S,
        model_id=model.model_id,
    )
    link = [{"name": MODEL_NAME, "version": version.version}]
    client.set_logged_model_tags(model.model_id, {_VERSIONS_TAG: json.dumps(link)})
    return int(version.version)


def bundle_tags(bundle: Bundle) -> dict[str, str]:
    """Return what a manifest says of a bundle: its format, its grid, its parts, and where its weights come from."""
    manifest = bundle.manifest
    return {
        "bundle.format": str(manifest.format_version),
        SPACING_TAG: str(manifest.spacing_mm),
        "bundle.has_fine": str(bundle.has_fine).lower(),
        "bundle.has_field": str(bundle.has_field).lower(),
        "bundle.bytes": str(bundle.total_bytes),
        "bundle.precisions": ", ".join(sorted(manifest.graphs)),
        "bmenet.version": manifest.bmenet,
        **{f"lineage.{key}": value for key, value in manifest.lineage.items()},
    }


def signature() -> "ModelSignature":
    """Return what the served model takes and gives, a row a volume."""
    load_mlflow()
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"stage": "string", "steps": "long", "seed": "long", "keep_field": "boolean", "only_brain": "boolean"}
    optional = [ColSpec(kind, name, required=False) for name, kind in kinds.items()]
    return ModelSignature(Schema([ColSpec("string", "nifti"), *optional]), Schema([ColSpec("string", "nifti")]))


def input_example() -> "pd.DataFrame":
    """Return a request in the form of the signature: a whole but tiny volume, a bright ball."""
    import pandas as pd

    x, y, z = np.meshgrid(*(np.linspace(-1, 1, extent) for extent in _EXAMPLE_SHAPE), indexing="ij")
    ball = np.where(x**2 + y**2 + z**2 < 0.7, 100, 0).astype(np.uint8)
    affine = np.diag([_EXAMPLE_SPACING_MM] * 3 + [1.0])
    content = nib.Nifti1Image(ball, affine).to_bytes()
    request = {"nifti": base64.b64encode(content).decode(), "stage": "coarse", "steps": 1, "seed": 0}
    return pd.DataFrame([request]).astype({"steps": np.int64, "seed": np.int64})


def requirements() -> list[str]:
    """Return the libraries this package needs, at the versions installed here, of torch's builds the common one.

    Not the package itself: it is on no index, and a stranger's package of its name must not be installed for it.
    """
    pinned = []
    for one in map(Requirement, importlib.metadata.requires("bmenet") or ()):
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            pinned.append(f"{one.name}=={Version(importlib.metadata.version(one.name)).public}")
        except importlib.metadata.PackageNotFoundError:  # a variant of it may stand in: the model runs without
            pinned.append(f"{one.name}{one.specifier}")
    return sorted(pinned)
