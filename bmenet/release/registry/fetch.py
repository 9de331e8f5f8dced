"""Fetch what was published."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmenet.release.registry.access import as_default
from bmenet.release.registry.version import MODEL_NAME
from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, find_bundle, open_bundle
from bmenet.runtime.errors import TrackingError, WeightsError
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
    require_store(place, uri)
    load_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with as_default(place):  # as an argument the address would not reach the lookup of the alias
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise WeightsError(f"{uri}: expected a published model; the registry answered: {error}") from error


@contextmanager
def fetch_bundle(version: int) -> Iterator[Bundle]:
    """Yield the bundle of a published version; what was fetched is gone when the block ends.

    Raises
    ------
    TrackingError
        If its files cannot be fetched.
    WeightsError
        If they hold no bundle, or one that is damaged or of another format.
    """
    uri = f"models:/{MODEL_NAME}/{version}"
    with tempfile.TemporaryDirectory(prefix="bmenet-model-") as temporary:
        try:
            found = fetch_model(uri, Path(temporary))
        except WeightsError as error:
            raise TrackingError(str(error)) from error
        folder = find_bundle(found)
        if folder is None:
            raise WeightsError(f"{uri}: expected a bundle with {MANIFEST_FILE}; got none; publish it again")
        yield open_bundle(folder)


def require_store(place: Place, asked: str) -> None:
    """Refuse to ask a store that nobody has made yet: mlflow would make an empty one."""
    if place.is_missing:
        raise WeightsError(
            f"{asked}: no tracking store in {place.folder}; run inside the workspace or set {URI_VARIABLE}"
        )
