"""The model registry: fetch what was published."""

from pathlib import Path

from bmenet.errors import WeightsError
from bmenet.tracking.place import URI_VARIABLE, Place
from bmenet.tracking.store import load_mlflow


def fetch_model(uri: str, folder: Path) -> Path:
    """Copy the files of a registered model into a folder; return where they lie.

    Parameters
    ----------
    uri : str
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
    folder : Path
        An existing one.

    Raises
    ------
    WeightsError
        If the registry has no such model or cannot be reached.
    """
    place = Place.of_workspace()
    if place.is_missing:  # asked for a model, mlflow would make an empty one
        raise WeightsError(
            f"{uri}: no tracking store in {place.folder}; run inside the workspace or set {URI_VARIABLE}"
        )
    load_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(place.uri)  # as an argument it would not reach the lookup of the alias
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise WeightsError(f"{uri}: expected a published model; the registry answered: {error}") from error
