"""The way to the registry's store, and its failures in one line."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bmenet.runtime.errors import BMENetError, TrackingError
from bmenet.tracking.place import URI_VARIABLE, Place
from bmenet.tracking.store import Store, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CREDENTIALS = re.compile(r"//[^/@\s]*@")


def connect(place: Place) -> "MlflowClient":
    """Return a client of the store at `place`; an empty database is made on first use.

    Raises
    ------
    TrackingError
        If the database cannot be opened. A server is first asked by the first question.
    """
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
            f"expected a model registry that answers; got: {_reason(error)}; start the server, or correct "
            f"{URI_VARIABLE}, and run this again"
        ) from error


@contextmanager
def as_default(place: Place) -> Iterator[None]:
    """Let mlflow's own look-ups go to `place` too: some of them ask no client, but the default store."""
    load_mlflow()
    import mlflow

    before = os.environ.pop(URI_VARIABLE, None)  # mlflow writes it; without it mlflow tells what itself was told
    told = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    try:
        os.environ[URI_VARIABLE] = place.uri
        mlflow.set_tracking_uri(place.uri)
        yield
    finally:
        mlflow.set_tracking_uri(told)  # type: ignore[arg-type]  # None, as mlflow itself does it: nothing told
        if before is None:
            os.environ.pop(URI_VARIABLE, None)
        else:
            os.environ[URI_VARIABLE] = before


def _reason(error: Exception) -> str:
    """Say in one line what an error says in many, without the password that an address may hold."""
    line = (str(error) or type(error).__name__).splitlines()[0][:300]
    return _CREDENTIALS.sub("//", line)
