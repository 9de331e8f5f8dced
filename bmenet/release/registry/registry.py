"""The registered model: register a bundle, list what there is, and say which version is the champion."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from bmenet.release.registry.model_folder import bundle_tags, create_version
from bmenet.release.registry.store import CHALLENGER, CHAMPION, DIGEST_TAG, MODEL_NAME, Version, answering, connect
from bmenet.restoration.bundle import Bundle
from bmenet.runtime.errors import TrackingError, WeightsError
from bmenet.runtime.files import sha256
from bmenet.tracking.record import now_ms
from bmenet.tracking.store import Place

_CODE_TAG = "serving.sha256"
"""Of the file that serves it: the same bundle with another one is another version."""
_SINCE_TAG = "champion.since"
"""When a version last became champion, for people to read."""
_MAX_DESCRIPTION_LENGTH = 5_000
"""MLflow's databases have room for so much; PostgreSQL refuses more."""
_CHAMPIONS_TAG, _MAX_CHAMPIONS = "champions", 200
"""Tag of the registered model: the numbers of the champions in order, the last so many, for a tag holds 5000 bytes."""
_NO_REASON = "by hand, no reason given"
_LOCK_TIMEOUT_S = 3600  # another process may be uploading a large bundle


class Registry:
    """The registered model `bmenet`.

    Processes of one workspace move its aliases one after another. Of two machines that share a server the last one
    wins. The place is by default that of the current folder; with `is_made`, a workspace's store is made where there is
    none.

    Raises
    ------
    WeightsError
        If there is no store and none is to be made.
    TrackingError
        If the store cannot be opened, or does not answer: so do all methods.
    """

    def __init__(self, place: Place | None = None, is_made: bool = False) -> None:
        self._place = place or Place.of_workspace()
        self.client = connect(self._place, MODEL_NAME, is_made)
        self._file_lock = FileLock(self._place.pending / ".registry.lock", timeout=_LOCK_TIMEOUT_S)

    def versions(self) -> list[Version]:
        """Return every version, oldest first."""
        from mlflow.exceptions import MlflowException

        with answering():
            try:
                aliases = self.client.get_registered_model(MODEL_NAME).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return []
                raise
            found, token = [], None
            while True:
                page = self.client.search_model_versions(f"name='{MODEL_NAME}'", page_token=token)
                found += [Version.of(entity, aliases) for entity in page]
                if not (token := page.token):
                    return sorted(found, key=lambda version: version.number)

    def champion(self) -> Version | None:
        """Return the champion, if there is one."""
        return next((version for version in self.versions() if version.is_champion), None)

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

    def register(self, bundle: Bundle, model_file: Path, run_id: str, tags: Mapping[str, str]) -> Version:
        """Register a bundle as the newest version, the challenger; what is there already is not registered again.

        `model_file` is the code that serves it, `run_id` the run that made it; `tags` say where it comes from, beside
        what its manifest says.
        """
        with self._lock(), answering():
            identity = {DIGEST_TAG: bundle.digest, _CODE_TAG: sha256(model_file)}
            same = [version.number for version in self.versions() if identity.items() <= version.tags.items()]
            all_tags = bundle_tags(bundle) | dict(tags) | identity
            number = same[-1] if same else create_version(self.client, bundle, model_file, run_id, all_tags)
            self.client.set_registered_model_alias(MODEL_NAME, CHALLENGER, str(number))
            return self.require(number)

    def log_figures(self, version: Version, run_id: str, figures: Mapping[str, float]) -> None:
        """Keep figures as tags of a version and as metrics of its model, logged by a run."""
        from mlflow.entities import Metric

        with answering():
            of_model = {"model_id": version.model_id, "run_id": run_id}
            metrics = [Metric(name, value, now_ms(), 0, **of_model) for name, value in figures.items()]
            self.client.log_batch(run_id, metrics=metrics)
            for name, value in figures.items():
                self._tag(version.number, name, f"{value:.6g}")

    def settle(
        self, candidate: Version, champion: Version | None, is_promoted: bool, reasons: Sequence[str], metric: str
    ) -> bool:
        """Carry out what the gate decided about a candidate; return False, and do nothing, if the champion is another.

        `champion` is the one that it was compared with, `metric` the gate's. Of the champion itself nothing is
        decided, and what was recorded about it stays.
        """
        with self._lock(), answering():
            present = self.champion()
            if (present and present.number) != (champion and champion.number):
                return False
            if is_promoted:
                self._crown(candidate.number, present)
            self._tag(candidate.number, "gate.metric", metric)
            if is_promoted or present is None or present.number != candidate.number:
                self._note(candidate.number, "promoted" if is_promoted else "kept", "gate", reasons)
            return True

    def promote(self, number: int, reason: str = "") -> int | None:
        """Make a version the champion, because a person says so; return the champion before it.

        Raises
        ------
        WeightsError
            If there is no such version, or it is the champion already.
        """
        with self._lock(), answering():
            champion = self.champion()
            if self.require(number).is_champion:
                raise WeightsError(f"{MODEL_NAME}: expected another version than the champion; got {number}, which is")
            self._crown(number, champion)
            self._note(number, "promoted", "hand", [reason or _NO_REASON])
            return None if champion is None else champion.number

    def rollback(self, reason: str = "") -> tuple[int, int]:
        """Make the champion before the present one the champion again; return the present one and that.

        Raises
        ------
        WeightsError
            If there is no champion, or none before it.
        """
        with self._lock(), answering():
            champion = self.champion()
            champions = [] if champion is None else self._champions(champion)
            if champion is None or len(champions) < 2:
                raise WeightsError(
                    f"{MODEL_NAME}: expected a champion before the present one, to go back to; got none; choose a"
                    " version with `bmenet registry promote VERSION`"
                )
            back = champions[-2]
            self._keep_champions(champions[:-1])  # first: cut short, it can be done again
            self._move_alias(back)
            told = f"back from version {champion.number} to {back}: {reason or _NO_REASON}"
            self._note(champion.number, "rolled back", "hand", [told])
            return champion.number, back

    def _crown(self, number: int, champion: Version | None) -> None:
        """Make a version champion after the present one. Cut short, it is seen and taken in next time."""
        champions = [*self._champions(champion), number]
        self._move_alias(number)
        self._keep_champions(champions)

    def _champions(self, present: Version | None) -> list[int]:
        """Return the numbers of the champions in order, the present one last.

        What happened elsewhere is taken in: a champion that MLflow's page set, versions that were deleted. A tag that
        somebody spoilt begins anew.
        """
        try:
            noted = json.loads(self.client.get_registered_model(MODEL_NAME).tags.get(_CHAMPIONS_TAG, "[]"))
            numbers = [int(number) for number in noted]
        except (ValueError, TypeError):
            numbers = []
        existing = {version.number for version in self.versions()}
        numbers = [number for number in numbers if number in existing]
        numbers += [] if present is None else [present.number]
        return [number for number, _ in groupby(numbers)]  # a deleted one between leaves the same one twice

    def _keep_champions(self, numbers: list[int]) -> None:
        self.client.set_registered_model_tag(MODEL_NAME, _CHAMPIONS_TAG, json.dumps(numbers[-_MAX_CHAMPIONS:]))

    def _move_alias(self, number: int) -> None:
        self.client.set_registered_model_alias(MODEL_NAME, CHAMPION, str(number))
        self._tag(number, _SINCE_TAG, _now())

    def _note(
        self, number: int, outcome: Literal["promoted", "kept", "rolled back"], by: str, reasons: Sequence[str]
    ) -> None:
        """Write the last decision about a version into its tags and its description, which MLflow's page opens with."""
        told = "; ".join(reasons)
        for name, value in (("decision", outcome), ("by", by), ("reasons", told), ("time", _now())):
            self._tag(number, f"gate.{name}", value)
        description = f"{outcome} by {by}, {_now()[:10]}: {told}"
        self.client.update_model_version(MODEL_NAME, str(number), description[:_MAX_DESCRIPTION_LENGTH])

    def _tag(self, number: int, name: str, value: str) -> None:
        self.client.set_model_version_tag(MODEL_NAME, str(number), name, value)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes of this workspace from changing the registry."""
        try:
            with self._file_lock:
                yield
        except Timeout as error:
            raise TrackingError(
                f"expected to be the only one who changes the registry within {_LOCK_TIMEOUT_S} s; another process"
                " still does; wait for it, and run this again"
            ) from error


def _now() -> str:
    """Return the time to the microsecond, ISO 8601, UTC: as text it sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
