"""The model registry: fetch what was published."""

from pathlib import Path

from bmenet.errors import WeightsError
from bmenet.tracking.place import Place
from bmenet.tracking.store import load_mlflow


def fetch_model(uri: str) -> Path:
    """Return a local folder with the files of a registered model.

    Parameters
    ----------
    uri : str
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Raises
    ------
    WeightsError
        If the registry has no such model or cannot be reached.
    """
    load_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, tracking_uri=Place.of_workspace().uri))
    except (MlflowException, OSError) as error:
        raise WeightsError(f"{uri}: expected a published model; the registry answered: {error}") from error
