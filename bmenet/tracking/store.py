"""The tracking store: turns records into MLflow runs."""

import hashlib
import logging
import os
import shutil
from typing import Any

from filelock import FileLock

from bmenet.tracking.place import Place
from bmenet.tracking.spool import Spool

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that is down must not hold up training: the spool is what retries.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
_RUN_TAG = "bmenet.run"
_EXECUTION_TAG = "bmenet.execution"
_PARENT_TAG = "mlflow.parentRunId"
_NEUTRAL_TAGS = {"mlflow.user": "bmenet", "mlflow.source.type": "PROJECT"}  # no account or machine names
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # which of its views the UI opens
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")
_PARAMS_PER_BATCH = 100
_LOCK_TIMEOUT_S = 300


def load_mlflow() -> None:
    """Import mlflow, without telemetry, job execution or pickles.

    Called before a thread needs it: two threads importing the same libraries at once can see them half made.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the sender reports failures, once


class Store:
    """A tracking store; an empty database is made on first use.

    Parameters
    ----------
    place : Place
        Its addresses.
    """

    def __init__(self, place: Place) -> None:
        load_mlflow()
        from mlflow.tracking import MlflowClient

        self._place = place
        self.name = hashlib.sha256(place.uri.encode()).hexdigest()[:16]  # an address may hold a password
        place.spool.mkdir(parents=True, exist_ok=True)
        # Processes that start together would migrate an empty database together, and make a parent run each.
        self._lock = FileLock(place.spool / ".store.lock", timeout=_LOCK_TIMEOUT_S)
        with self._lock:
            self._client = MlflowClient(tracking_uri=place.uri)

    def send(self, spool: Spool) -> list[str]:
        """Send, in order, what `spool` holds and this store has not, and return what the store refused.

        Raises
        ------
        Exception
            Whatever kept the store from answering; the spool keeps everything from that record on.
        """
        from mlflow.exceptions import MlflowException

        run_id, offset = spool.sent(self.name)
        refused = []
        for record, after in spool.batches(offset):
            try:
                if record["kind"] == "start":
                    run_id = self._start(spool, record)
                elif run_id is not None:
                    self._add(run_id, record, spool)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    spool.mark_sent(self.name, None, 0)  # the store was emptied: begin again next time
                if error.error_code not in _REFUSALS or record["kind"] == "start":
                    raise
                refused.append(f"{record['kind']}: {str(error).splitlines()[0]}")
            spool.mark_sent(self.name, run_id, after)
            if record["kind"] == "artifact":
                shutil.rmtree((spool.folder / record["place"]).parent, ignore_errors=True)
        return refused

    def _start(self, spool: Spool, record: dict[str, Any]) -> str:
        """Find or create the run and its parent, and set both running; return the run's id.

        The parent of a nested run keeps its status: that is its own affair.
        """
        header, started = spool.header, record["time"]
        name = record.get("name", header["stage"])
        with self._lock:
            experiment = self._experiment(header["experiment"])
            parent = self._parent(experiment, spool, record)
            tags = record["tags"] | _stage_tags(header["stage"]) | {_PARENT_TAG: parent}
            run_id = self._find_or_create(experiment, _RUN_TAG, header["run"], started, name, tags)
        for key, value in tags.items():
            self._client.set_tag(run_id, key, value)
        self._client.update_run(run_id, status="RUNNING")
        if spool.parent is None:
            self._refresh_parent(run_id)
        return run_id

    def _parent(self, experiment: str, spool: Spool, record: dict[str, Any]) -> str:
        """Find or create the parent of the run that a start record is about; return its id."""
        started, stage, profile = record["time"], spool.header["stage"], record["tags"]["profile"]
        if spool.parent is not None:  # its own spool may come later, or from another machine
            tags = {"profile": profile} | _stage_tags(stage)
            return self._find_or_create(experiment, _RUN_TAG, spool.parent, started, stage, tags)
        if spool.is_shared:
            run = self._find(experiment, _RUN_TAG, spool.header["run"])
            if run and run.info.status == "RUNNING" and _PARENT_TAG in run.data.tags:
                return run.data.tags[_PARENT_TAG]  # taken away, the run would leave that pipeline running for ever
        name = f"{profile} pipeline"
        return self._find_or_create(experiment, _EXECUTION_TAG, record["execution"], started, name, record["tags"])

    def _add(self, run_id: str, record: dict[str, Any], spool: Spool) -> None:
        """Send one record of a run that exists."""
        from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag

        match record["kind"]:
            case "metrics":
                self._client.log_batch(run_id, metrics=[Metric(*value) for value in record["values"]])
            case "params":
                params = [Param(key, value) for key, value in record["values"].items()]
                for start in range(0, len(params), _PARAMS_PER_BATCH):
                    self._client.log_batch(run_id, params=params[start : start + _PARAMS_PER_BATCH])
            case "tags":
                self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in record["values"].items()])
            case "inputs":
                datasets = [
                    DatasetInput(Dataset(name=path, digest=md5, source_type="dvc", source=path))
                    for path, md5 in record["values"].items()
                ]
                self._client.log_inputs(run_id, datasets=datasets)
                self._client.log_batch(
                    run_id, tags=[RunTag(f"dvc.md5.{path}", md5) for path, md5 in record["values"].items()]
                )
            case "artifact":
                path = spool.folder / record["place"]
                if path.exists():  # else it went before the mark was written
                    self._client.log_artifact(run_id, path, record["folder"] or None)
            case "end":
                self._client.set_terminated(run_id, record["status"], record["ended"])
                if spool.parent is None:
                    self._refresh_parent(run_id)

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment `name`, made if need be."""
        found = self._client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        return self._client.create_experiment(name, self._place.artifacts, _EXPERIMENT_TAGS)

    def _find_or_create(
        self, experiment: str, key: str, value: str, start_ms: int, name: str, tags: dict[str, str]
    ) -> str:
        """Return the id of the run whose tag `key` has `value`, made if need be."""
        if found := self._find(experiment, key, value):
            return found.info.run_id
        run = self._client.create_run(experiment, start_ms, tags | _NEUTRAL_TAGS | {key: value}, run_name=name)
        return run.info.run_id

    def _find(self, experiment: str, key: str, value: str) -> Any:
        """Return the run whose tag `key` has `value`, or None."""
        return next(iter(self._client.search_runs([experiment], f"tags.`{key}` = '{value}'", max_results=1)), None)

    def _refresh_parent(self, run_id: str) -> None:
        """Give the parent of a run the status that follows from all its children."""
        run = self._client.get_run(run_id)
        parent = run.data.tags[_PARENT_TAG]
        children = self._client.search_runs([run.info.experiment_id], f"tags.`{_PARENT_TAG}` = '{parent}'")
        statuses = {child.info.status for child in children}
        if "RUNNING" in statuses:
            self._client.update_run(parent, status="RUNNING")
        else:
            status = next((bad for bad in ("FAILED", "KILLED") if bad in statuses), "FINISHED")
            self._client.set_terminated(parent, status, max(child.info.end_time for child in children))


def _stage_tags(stage: str) -> dict[str, str]:
    return {"stage": stage, "mlflow.source.name": f"pipelines.{stage}"}
