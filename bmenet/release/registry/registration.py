"""Put a bundle into the registry: a logged model of a run, and a version that stands for it."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bmenet.release.registry.access import as_default
from bmenet.release.registry.model_folder import write_model_folder
from bmenet.release.registry.version import DIGEST_TAG, MODEL_NAME, SPACING_TAG
from bmenet.restoration.bundle import Bundle
from bmenet.tracking.place import Place

if TYPE_CHECKING:
    from mlflow import MlflowClient

_READY_TIMEOUT_S = 600
_VERSIONS_TAG = "mlflow.modelVersions"  # how MLflow's pages link a logged model to its versions


def log_model(client: "MlflowClient", bundle: Bundle, model_file: Path, run_id: str, tags: Mapping[str, str]) -> str:
    """Log a bundle as a model of a run; return the model's id. One that is not whole is marked as failed."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, MODEL_NAME, run_id, tags=dict(tags), model_type="image restoration")
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
    return model.model_id


def create_version(client: "MlflowClient", place: Place, model_id: str, run_id: str, tags: Mapping[str, str]) -> int:
    """Register a logged model, wait until the version is ready, and return its number."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(MODEL_NAME, description="Coarse-to-fine restoration of T1-weighted brain MRI")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    with as_default(place):  # where mlflow looks for the logged model
        version = client.create_model_version(
            MODEL_NAME,
            f"models:/{model_id}",
            run_id,
            tags=dict(tags),
            await_creation_for=_READY_TIMEOUT_S,
            model_id=model_id,
        )
    link = [{"name": MODEL_NAME, "version": version.version}]
    client.set_logged_model_tags(model_id, {_VERSIONS_TAG: json.dumps(link)})
    return int(version.version)


def bundle_tags(bundle: Bundle) -> dict[str, str]:
    """Return what a manifest says of a bundle: its format, its grid, its parts, and where its weights come from."""
    manifest = bundle.manifest
    return {
        DIGEST_TAG: bundle.digest,
        "bundle.format": str(manifest.format_version),
        SPACING_TAG: str(manifest.spacing_mm),
        "bundle.has_fine": str(bundle.has_fine).lower(),
        "bundle.bytes": str(bundle.total_bytes),
        "bundle.precisions": ", ".join(sorted(manifest.graphs)),
        "bmenet.version": manifest.bmenet,
        **{f"lineage.{key}": value for key, value in manifest.lineage.items()},
    }
