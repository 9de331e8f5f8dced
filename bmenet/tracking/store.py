"""The tracking store: where it is, and how a record becomes an MLflow run in it."""

import hashlib
import logging
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bmenet.tracking.moved import mend_addresses
from bmenet.tracking.record import Record, idle_records, records_lock

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_DATABASE = "mlflow.db"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that is down must not hold up a stage: the record is sent again later.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
_RUN_TAG = "bmenet.run"
_EXECUTION_TAG = "bmenet.execution"
_PARENT_TAG = "mlflow.parentRunId"
_KIND_TAG, _KIND = "mlflow.experimentKind", "custom_model_development"  # the UI opens an experiment of it on its runs
_NEUTRAL_TAGS = {"mlflow.user": "bmenet", "mlflow.source.type": "PROJECT"}  # no account or machine names
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")
_METRICS_PER_BATCH = 1000
_PER_BATCH = 100
"""MLflow's limits."""
_LOCK_TIMEOUT_S = 300
_FAILING_S = 20.0
"""How long sending what others left may fail before it is given up for now: a hanging server takes 10 s a record."""
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Place:
    """Addresses of the tracking store, all absolute.

    `folder` is the workspace's ``mlflow``; `uri` is ``MLFLOW_TRACKING_URI`` where it is set, else its sqlite file.
    """

    folder: Path
    uri: str

    @classmethod
    def of_workspace(cls) -> "Place":
        """Return the place that belongs to the current folder.

        An experiment that DVC runs in a temporary copy (``.dvc/tmp/exps/...``) is kept in the workspace it came from.
        """
        here = Path.cwd()
        copies = [parent for parent in (here, *here.parents) if parent.parts[-3:] == (".dvc", "tmp", "exps")]
        folder = (copies[-1].parents[2] if copies else here) / "mlflow"
        return cls(folder, os.environ.get(URI_VARIABLE) or f"sqlite:///{folder / _DATABASE}")

    @property
    def database(self) -> Path | None:
        """The workspace's sqlite file, where that is the store."""
        database = self.folder / _DATABASE
        return database if self.uri == f"sqlite:///{database}" else None

    @property
    def is_missing(self) -> bool:
        """Whether the store is the workspace's sqlite file and nobody has made it yet."""
        return self.database is not None and not self.database.exists()

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps artifacts; a server decides that itself."""
        return None if self.uri.startswith("http") else (self.folder / "artifacts").as_uri()

    @property
    def pending(self) -> Path:
        """Where the records of runs lie that the store does not have in full, one folder each."""
        return self.folder / "pending"


def load_mlflow() -> None:
    """Import mlflow, without telemetry, job execution or pickles.

    Called before a thread needs it: two threads importing the same libraries at once can see them half made.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.system_metrics.system_metrics_monitor
    import mlflow.tracking  # noqa: F401

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are reported once, by the sender


class Store:
    """A tracking store; an empty database is made on first use."""

    def __init__(self, place: Place) -> None:
        load_mlflow()
        from mlflow.tracking import MlflowClient

        self._place = place
        self.name = hashlib.sha256(place.uri.encode()).hexdigest()[:16]  # an address may hold a password
        self.opened: set[Path] = set()
        self.refused: list[str] = []
        place.pending.mkdir(parents=True, exist_ok=True)
        # Processes that start together would migrate an empty database together, and make a parent run each.
        self._lock = FileLock(place.pending / ".store.lock", timeout=_LOCK_TIMEOUT_S)
        with self._lock:
            self.client = MlflowClient(tracking_uri=place.uri)
            if place.database is not None and place.artifacts is not None:
                mend_addresses(place.database, place.artifacts)

    def send(self, record: Record) -> None:
        """Send what `record` holds and this store has not; note what the store refused.

        Raises whatever kept the store from answering; the record keeps what was not sent.
        """
        from mlflow.exceptions import MlflowException

        try:
            if record.folder not in self.opened or record.store != self.name:
                self._open(record)
                self.opened.add(record.folder)
            left = len(record.unsent)  # what comes meanwhile waits for the next time, so that batches stay large
            while left > 0:
                kind = record.unsent[0][0]
                most = min(left, _METRICS_PER_BATCH if kind == "metric" else _PER_BATCH)
                entries = list(takewhile(lambda entry: entry[0] == kind, record.unsent[:most]))  # noqa: B023
                try:
                    self._add(str(record.run_id), kind, [entry[1:] for entry in entries], record.folder)
                except MlflowException as error:
                    if error.error_code not in _REFUSALS:
                        raise
                    self.refused.append(f"{kind}: {in_one_line(error)}")
                record.forget(len(entries))
                left -= len(entries)
            if record.status != "RUNNING" and not record.unsent:
                self.client.set_terminated(str(record.run_id), record.status, record.ended)
                self._refresh_parent(record)
                record.is_sent = True
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                record.store = None  # it was emptied: the run is made again next time
            raise

    def send_idle(self) -> int:
        """Send every record that no living process owns, oldest first, and return how many; the unended were killed.

        Raises the first error that a record met; it does not keep the younger ones from being sent.
        """
        sent, failing_s, first_error = 0, 0.0, None
        with suppress(Timeout), records_lock(self._place.pending, 0):  # else another process is at it
            for record in idle_records(self._place.pending):
                if record.is_sent or failing_s > _FAILING_S:
                    continue
                start = time.monotonic()
                try:
                    record.end_if_killed()
                    try:
                        self.send(record)
                    finally:
                        record.settle()
                    sent += 1
                except Exception as error:
                    first_error = first_error or error
                    failing_s += time.monotonic() - start
        if first_error is not None:
            raise first_error
        return sent

    def _open(self, record: Record) -> None:
        """Find or create the run and its parent, and set both running."""
        with self._lock:
            experiment = self._experiment(record.experiment)
            run = self._find_or_create(experiment, _RUN_TAG, record.key, record, record.name)
            was_running, former = run.info.status == "RUNNING", run.data.tags.get(_PARENT_TAG)
            if record.parent is not None:  # the study's own record may come later, or from another machine
                parent = self._find_or_create(experiment, _RUN_TAG, record.parent, record, record.stage).info.run_id
            elif record.is_shared and was_running and former:
                parent = former  # else the pipeline of the process that it is shared with would run for ever
            else:
                name = f"{record.tags['profile']} pipeline"
                pipeline = self._find_or_create(experiment, _EXECUTION_TAG, record.execution, record, name)
                parent = pipeline.info.run_id
        record.store, record.run_id = self.name, run.info.run_id
        self.client.set_tag(record.run_id, _PARENT_TAG, parent)
        self.client.update_run(record.run_id, status="RUNNING")
        if was_running and former not in (None, parent):  # it was killed there, and goes on here
            self.client.set_terminated(former, "KILLED")
        self._refresh_parent(record)

    def _add(self, run_id: str, kind: str, values: list[list[Any]], folder: Path) -> None:
        """Add entries of one kind to a run that exists."""
        from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

        match kind:
            case "metric" | "param" | "tag":
                entity = {"metric": Metric, "param": Param, "tag": RunTag}[kind]
                entries: dict[str, Any] = {f"{kind}s": [entity(*value) for value in values]}
                self.client.log_batch(run_id, **entries)
            case "input":
                datasets = [Dataset(name=path, digest=md5, source_type="dvc", source=path) for path, md5 in values]
                self.client.log_inputs(run_id, datasets=[DatasetInput(dataset) for dataset in datasets])
                self.client.log_batch(run_id, tags=[RunTag(f"dvc.md5.{path}", md5) for path, md5 in values])
            case "file":
                for (place,) in values:
                    if (folder / place).exists():  # else it was sent before
                        self.client.log_artifacts(run_id, str(folder / place))
                        shutil.rmtree(folder / place, ignore_errors=True)

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment `name`, made if need be; MLflow's page of it opens on the runs."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            return str(self.client.create_experiment(name, self._place.artifacts, {_KIND_TAG: _KIND}))
        if _KIND_TAG not in found.tags:
            self.client.set_experiment_tag(found.experiment_id, _KIND_TAG, _KIND)
        return str(found.experiment_id)

    def _find_or_create(self, experiment: str, tag: str, value: str, record: Record, name: str) -> Any:
        """Return the run whose `tag` has `value`, made if need be, from the facts of a record that belongs to it."""
        found = self.client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        if found:
            return found[0]
        tags = record.tags | _NEUTRAL_TAGS | {tag: value}
        if tag == _RUN_TAG:
            tags |= {"stage": record.stage, "mlflow.source.name": f"pipelines.{record.stage}"}
        return self.client.create_run(experiment, record.started, tags, run_name=name)

    def _refresh_parent(self, record: Record) -> None:
        """Give the run of a pipeline execution the status that follows from its stages; a study has its own."""
        if record.parent is not None:
            return
        run = self.client.get_run(str(record.run_id))
        parent = run.data.tags[_PARENT_TAG]
        stages = self.client.search_runs([run.info.experiment_id], f"tags.`{_PARENT_TAG}` = '{parent}'")
        statuses = {stage.info.status for stage in stages}
        if "RUNNING" in statuses:
            self.client.update_run(parent, status="RUNNING")
        else:
            status = next((bad for bad in ("FAILED", "KILLED") if bad in statuses), "FINISHED")
            self.client.set_terminated(parent, status, max(stage.info.end_time for stage in stages))


def in_one_line(error: Exception) -> str:
    """Return in one line what an error says in many, without the password that an address may hold."""
    line = (str(error) or type(error).__name__).splitlines()[0][:200]
    return _CREDENTIALS.sub("//", line)
