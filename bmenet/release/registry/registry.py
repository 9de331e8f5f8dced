"""The registered model: register a bundle, list what there is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bmenet.release.registry.access import answering, connect
from bmenet.release.registry.fetch import require_store
from bmenet.release.registry.history import HISTORY_TAG, History
from bmenet.release.registry.registration import bundle_tags, create_version, log_model
from bmenet.release.registry.version import CHALLENGER, MODEL_NAME, Version
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.errors import TrackingError, WeightsError
from bmenet.tracking.place import Place
from bmenet.tracking.spool import now_ms

_LOCK_TIMEOUT_S = 3600  # another process may be uploading a large bundle


class Registry:
    """The registered model `bmenet`.

    Processes of one workspace move its aliases one after another. Of two machines that share a server the last one
    wins; the history then still tells what both decided.

    Parameters
    ----------
    place : Place, optional
        By default that of the current folder.
    is_made : bool
        Whether a workspace's store is made where there is none.

    Raises
    ------
    WeightsError
        If there is no store and none is to be made.
    TrackingError
        If the store cannot be opened.
    """

    def __init__(self, place: Place | None = None, is_made: bool = False) -> None:
        self._place = place or Place.of_workspace()
        if not is_made:
            require_store(self._place, MODEL_NAME)
        self.client = connect(self._place)
        self._file_lock = FileLock(self._place.spool / ".registry.lock", timeout=_LOCK_TIMEOUT_S)

    def versions(self) -> list[Version]:
        """Return every version, oldest first.

        Raises
        ------
        TrackingError
            If the registry does not answer.
        """
        with answering():
            aliases, _ = self._registered()
            found, token = [], None
            while True:
                page = self.client.search_model_versions(f"name='{MODEL_NAME}'", page_token=token)
                found += [Version.of(entity, aliases) for entity in page]
                if not (token := page.token):
                    return sorted(found, key=lambda version: version.number)

    def champion(self) -> Version | None:
        """Return the champion, if there is one."""
        return next((version for version in self.versions() if version.is_champion), None)

    def history(self) -> History:
        """Return champions and decisions, with what happened outside of this package taken in."""
        with answering():
            _, tags = self._registered()
        versions = self.versions()
        champion = next((version.number for version in versions if version.is_champion), None)
        return History.parse(tags.get(HISTORY_TAG)).seeing(champion, {version.number for version in versions})

    def register(self, bundle: Bundle, model_file: Path, run_id: str, tags: Mapping[str, str]) -> Version:
        """Register a bundle as the newest version, the challenger; of a bundle that is there already, that version.

        Parameters
        ----------
        bundle : Bundle
        model_file : Path
            The code that serves it.
        run_id : str
            The run that made it.
        tags : mapping
            Where it comes from, beside what its manifest says.

        Raises
        ------
        TrackingError
            If the registry does not take it.
        """
        with self.lock(), answering():
            number = next((version.number for version in self.versions() if version.digest == bundle.digest), None)
            if number is None:
                all_tags = bundle_tags(bundle) | dict(tags)
                model_id = log_model(self.client, bundle, model_file, run_id, all_tags)
                number = create_version(self.client, self._place, model_id, run_id, all_tags)
            self.client.set_registered_model_alias(MODEL_NAME, CHALLENGER, str(number))
            return self.require(number)

    def log_figures(self, version: Version, run_id: str, figures: Mapping[str, float]) -> None:
        """Keep figures as tags of a version and as metrics of its model, logged by a run."""
        from mlflow.entities import Metric

        with answering():
            metrics = [
                Metric(name, value, now_ms(), 0, model_id=version.model_id, run_id=run_id)
                for name, value in figures.items()
            ]
            self.client.log_batch(run_id, metrics=metrics)
            for name, value in figures.items():
                self.client.set_model_version_tag(MODEL_NAME, str(version.number), name, f"{value:.6g}")

    def require(self, number: int) -> Version:
        """Return a version that must be there.

        Raises
        ------
        WeightsError
            If it is not; the error says which ones are.
        """
        versions = {version.number: version for version in self.versions()}
        if not versions:
            raise WeightsError(
                f"{MODEL_NAME}: expected a published model; the registry holds none; run"
                " `dvc repro --force --single-item publish`"
            )
        if number not in versions:
            raise WeightsError(
                f"{MODEL_NAME}: expected one of the versions {', '.join(map(str, versions))}; got {number}; see"
                " `bmenet registry list`"
            )
        return versions[number]

    def _registered(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return aliases and tags of the registered model; of one that is not there, none."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(MODEL_NAME)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}, {}
            raise
        return dict(model.aliases), dict(model.tags)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes of this workspace from changing the registry."""
        try:
            self._place.spool.mkdir(parents=True, exist_ok=True)
            with self._file_lock:
                yield
        except Timeout as error:
            raise TrackingError(
                f"expected to be the only one who changes the registry within {_LOCK_TIMEOUT_S} s; another process"
                " still does; wait for it, and run this again"
            ) from error
