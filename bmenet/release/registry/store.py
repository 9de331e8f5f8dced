"""The registry's store: the way to it, what it says of a published model, and its files."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, find_bundle, open_bundle
from bmenet.runtime.errors import BMENetError, TrackingError, WeightsError
from bmenet.tracking.store import URI_VARIABLE, Place, Store, in_one_line, load_mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MODEL_NAME = "bmenet"
CHALLENGER = "challenger"
"""The newest one published, champion or not."""
CHAMPION = "champion"
"""The one to be used: the best on validation volumes, or the one that a person chose."""
DIGEST_TAG = "bundle.digest"
SPACING_TAG = "bundle.spacing_mm"

_URI = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<version>\d+))")
_MODEL_ID = re.compile(r"\bm-[0-9a-f]{32}\b")
_NO_ANSWER = "expected a model registry that answers; got: "


@dataclass(frozen=True)
class Version:
    """A version of the registered model.

    `time` is when it was registered (ISO 8601, UTC), `model_id` that of MLflow's logged model; `tags` tell lineage,
    figures and the last decision about it.
    """

    number: int
    aliases: tuple[str, ...]
    time: str
    model_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of its bundle; empty where it was registered without one."""
        return self.tags.get(DIGEST_TAG, "")

    @property
    def is_champion(self) -> bool:
        """Whether it has the alias."""
        return CHAMPION in self.aliases

    @property
    def validation(self) -> tuple[str, float] | None:
        """The gate's metric and its mean over validation subjects, where the gate has seen this version."""
        metric = self.tags.get("gate.metric", "")
        value = self.tags.get(f"validation.{metric}")
        return None if value is None else (metric, float(value))

    @classmethod
    def of(cls, entity: "ModelVersion", aliases: Mapping[str, str]) -> "Version":
        """Read MLflow's entity; `aliases` are the registered model's."""
        number, model_id = int(entity.version), _MODEL_ID.search(entity.source or "")
        return cls(
            number,
            tuple(sorted(alias for alias, version in aliases.items() if int(version) == number)),
            datetime.fromtimestamp(entity.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            model_id and model_id[0],
            dict(entity.tags),
        )


def connect(place: Place, asked: str, is_made: bool = False) -> "MlflowClient":
    """Return a client of the store at `place`. A server is first asked by the first question.

    `asked` is what is looked for, for the error. With `is_made`, a workspace's store is made where there is none:
    mlflow would always make an empty one.

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
    """Turn whatever keeps the store from answering into one TrackingError."""
    load_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except BMENetError:
        raise
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise TrackingError(
            f"{_NO_ANSWER}{in_one_line(error)}; start the server, or correct {URI_VARIABLE}, and run this again"
        ) from error


def fetch_model(uri: str, folder: Path) -> Path:
    """Copy the files of ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` into a folder; return where they lie.

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
        reason = str(error).removeprefix(_NO_ANSWER)
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
