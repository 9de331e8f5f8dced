"""What a stage sees of tracking: one context manager; a trial of a study is one call."""

import os
import signal
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bmenet.config import Config, flatten
from bmenet.runtime.errors import TrackingError
from bmenet.runtime.logger import NullLogger
from bmenet.tracking.lineage import code_tags, execution_key, input_hashes, without_places_and_people
from bmenet.tracking.logger import RunLogger
from bmenet.tracking.record import Record, claim, idle_records, now_ms, warn_once
from bmenet.tracking.store import Place, Store, in_one_line, load_mlflow

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def track_stage(
    config: Config,
    stage: str,
    inputs: Iterable[Path | str] = (),
    resume_key: str | None = None,
    run_key: str | None = None,
) -> Iterator[NullLogger]:
    """Track the block as one run of `stage`, under the parent run of this pipeline execution.

    The run gets the whole configuration (of paths outside the workspace only the names), system metrics, the git commit
    and the DVC hashes of `inputs`. It ends as FINISHED, as FAILED if the block raises, as KILLED if it is interrupted.
    Tracking never stops the block: what the tracking store does not take stays in ``mlflow/pending`` and is sent later.

    Parameters
    ----------
    inputs : iterable of Path, optional
        Files and folders the stage reads.
    resume_key : str, optional
        Identifies the training, such as a hash of what determines it: an unfinished run of the stage with the same key
        goes on, instead of a new one.
    run_key : str, optional
        Names the run, without quotation marks: processes that give the same key, on several machines too, write one
        run. Trials are nested under it by this key, and sent from here.

    Yields
    ------
    NullLogger
        A RunLogger; in the other processes of a distributed training one that keeps nothing.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        yield NullLogger()
        return
    place = Place.of_workspace()
    _warn_of_former_records(place)
    load_mlflow()
    new = _new_record(config, stage, place.pending, run_key, code_tags())
    new.resume_key, new.execution = resume_key, execution_key()
    new.own()
    run = RunLogger(new, place)
    with run.forgiving():
        run.record = claim(new)
    run.set_tags(run.record.tags)
    run.log_params(without_places_and_people(flatten(config)))
    with run.forgiving():
        run.record.add(*(["input", path, md5] for path, md5 in input_hashes(inputs).items()))
    run.start()
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit as stop:
        status = "KILLED" if stop.code == _TERMINATED else "FAILED" if stop.code else "FINISHED"
        raise
    except BaseException as error:
        run.set_tags({"error": type(error).__name__})
        raise
    finally:
        run.close(status)


def log_trial(
    config: Config,
    study: str,
    number: int,
    status: Literal["FINISHED", "FAILED", "KILLED"],
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
    curves: Mapping[str, Mapping[int, float]] | None = None,
    tags: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, Path] | None = None,
    started: datetime | None = None,
    ended: datetime | None = None,
) -> None:
    """Record a trial that has ended, as a run nested under the run of its study.

    It only writes, and imports no mlflow: the process that tracks the study (`track_stage` with ``run_key=study``)
    sends it, or whoever sends what is left over. A trial that is recorded twice is one run.

    Parameters
    ----------
    study : str
        The `run_key` of the study.
    status : {"FINISHED", "FAILED", "KILLED"}
        KILLED also for a pruned trial.
    curves : mapping, optional
        Metric to {step: value}.
    artifacts : mapping, optional
        Folder in the run to a file.
    started, ended : datetime, optional
        Now by default.
    """
    place = Place.of_workspace()
    key, name = f"{study}/{number}", f"trial {number}"
    record = _new_record(config, "tune", place.pending, key, _code_tags_of_trials(), name, parent=study)
    record.started, end = (round(time.timestamp() * 1000) if time else now_ms() for time in (started, ended))
    record.end(status, end)
    run = RunLogger(record, place)
    run.log_params(params)
    run.set_tags({**record.tags, "trial.number": number, **(tags or {})})
    run.log_metrics(metrics or {})
    for key, curve in (curves or {}).items():
        for step, value in curve.items():
            run.log_metrics({key: value}, step)
    for folder, path in (artifacts or {}).items():
        run.log_artifact(path, folder)
    with run.forgiving():
        record.save()


def sync() -> int:
    """Send what earlier runs of this workspace left, and return how many runs that was.

    Raises
    ------
    TrackingError
        If the tracking store does not take them; they are kept.
    """
    place = Place.of_workspace()
    _warn_of_former_records(place)
    waiting = [record for record in idle_records(place.pending) if not record.is_sent]
    if not waiting:
        return 0
    try:
        return Store(place).send_idle()
    except Exception as error:
        raise TrackingError(
            f"expected a tracking store that takes {len(waiting)} runs; got: {in_one_line(error)}; what it did not "
            "take stays in mlflow/pending: start the server, or correct MLFLOW_TRACKING_URI, and run this again"
        ) from error


def _warn_of_former_records(place: Place) -> None:
    """Warn of what version 0.1 left, which this one does not read."""
    if count := len(list((place.folder / "spool").glob("*/run.json"))):
        warn_once(
            f"{place.folder / 'spool'}: {count} runs of version 0.1 of BMENet wait here, which this version does not "
            "read; send them with that version (`bmenet sync-tracking`), or remove the folder"
        )


@cache
def _code_tags_of_trials() -> dict[str, str]:
    """Return the tags of `code_tags`, asked of git once a process: a study has many trials."""
    return code_tags()


def _new_record(
    config: Config, stage: str, pending: Path, key: str | None, code: dict[str, str], name: str = "", **facts: Any
) -> Record:
    folder = pending / uuid.uuid4().hex
    tags = {"profile": config.profile, **code}
    return Record(folder, stage, name or stage, config.tracking.experiment, key or folder.name, tags, **facts)
