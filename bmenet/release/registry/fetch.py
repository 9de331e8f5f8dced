"""The way to the registry's store, and what was published there."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bmenet.release.registry.version import MODEL_NAME
from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, find_bundle, open_bundle
from bmenet.runtime.errors import BMENetError, TrackingError, WeightsError
from bmenet.tracking.store import URI_VARIABLE, Place, Store, in_one_line, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

_URI = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<version>\d+))")


def connect(place: Place, asked: str, is_made: bool = False) -> "MlflowClient":
    """Return a client of the store at `place`. A server is first asked by the first question.

    Parameters
    ----------
    place : Place
    asked : str
        What is looked for, for the error.
    is_made : bool
        Whether a workspace's store is made where there is none: mlflow would always make an empty one.

    Raises
    ------
    WeightsError
        If there is no store and none is to be made.
    TrackingError
        If the database cannot be opened.
    """
    if place.is_missing and not is_made:
        raise WeightsError(
            f"{asked}: no tracking store in {place.folder}; run inside the workspace or set {URI_VARIABLE}"
        )
    with answering():
        if not place.uri.startswith("http"):
            Store(place)  # makes the tables, by one process at a time
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)


@contextmanager
def answering() -> Iterator[None]:
    """Turn whatever keeps the store from answering into one TrackingError.

    Raises
    ------
    TrackingError
        If the store does not answer, or answers with an error.
    """
    load_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except BMENetError:
        raise
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(
            f"expected a model registry that answers; got: {in_one_line(error)}; start the server, or correct "
            f"{URI_VARIABLE}, and run this again"
        ) from error


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
    named = _URI.fullmatch(uri)
    if named is None:
        raise WeightsError(f"{uri}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    place = Place.of_workspace()
    try:
        client = connect(place, uri)
        with answering():
            import mlflow

            name, version = named["name"], named["version"]
            version = version or client.get_model_version_by_alias(name, named["alias"]).version
            source = client.get_model_version_download_uri(name, str(version))
            return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(folder), tracking_uri=place.uri))
    except TrackingError as error:
        reason = str(error).removeprefix("expected a model registry that answers; got: ")
        raise WeightsError(f"{uri}: expected a published model; the registry answered: {reason}") from error


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
