"""What a stage sees of tracking: one context manager and one small logger."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from bmenet.config import Config, flatten
from bmenet.runtime.logger import NullLogger
from bmenet.runtime.progress import console
from bmenet.tracking.lineage import code_tags, execution_key, input_hashes, without_places_and_people
from bmenet.tracking.place import Place
from bmenet.tracking.sender import Sender, claim
from bmenet.tracking.spool import Spool, now_ms
from bmenet.tracking.store import load_mlflow
from bmenet.tracking.system import SystemSampler

_MAX_PARAM_LENGTH = 500
_TERMINATED = 128 + signal.SIGTERM
_STUDY_STAGE = "tune"


class RunLogger(NullLogger):
    """Write a run's records to its spool; the sender takes them from there.

    Parameters
    ----------
    spool : Spool
        The run. Steps that an interrupted run has already recorded are not recorded twice when it goes on.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._last_steps = spool.last_steps()
        self._has_lost = False

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step of training or once for the run."""
        new = {key: float(value) for key, value in values.items() if self._is_new(key, step)}
        if new:
            self.record("metrics", values=new, step=step or 0)

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record settings; each key can be set only once in a run."""
        self.record("params", values={key: str(value)[:_MAX_PARAM_LENGTH] for key, value in values.items()})

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Record a file or folder as it is now, under `folder`.

        Raises
        ------
        FileNotFoundError
            If there is nothing at `path`.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"expected a file or folder to record; got {path}, which is not there")
        with self._forgiving():
            self.record("artifact", place=self._spool.keep_file(path), folder=folder)

    def log_figure(self, figure: Any, name: str) -> None:
        """Record a matplotlib figure under `name`, such as ``figures/step-100.png``."""
        with self._forgiving():
            place = self._spool.new_place(Path(name).name)
            figure.savefig(self._spool.folder / place)
            self.record("artifact", place=place, folder=Path(name).parent.as_posix().removeprefix("."))

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Record labels; a later value replaces an earlier one."""
        self.record("tags", values={key: str(value) for key, value in values.items()})

    def record(self, kind: str, **fields: Any) -> None:
        """Add a record of any kind."""
        with self._forgiving():
            self._spool.append(kind, **fields)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Let a full disk cost records, and one warning, but not the training."""
        try:
            yield
        except OSError as error:
            if not self._has_lost:
                console.print(f"[yellow]tracking[/yellow]: records are lost: {escape(str(error))}", soft_wrap=True)
            self._has_lost = True

    def _is_new(self, key: str, step: int | None) -> bool:
        return step is None or step > self._last_steps.get(key, -1)


class TrialRun(RunLogger):
    """Write the records of one trial of a study to a spool of its own; the study's sender takes them from there.

    Parameters
    ----------
    spool : Spool
        The trial, not on disk yet.
    start : mapping of str to Any
        Fields of the start record.
    """

    def __init__(self, spool: Spool, start: Mapping[str, Any]) -> None:
        super().__init__(spool)
        with self._forgiving():
            spool.own()
        self.record("start", **start)

    def end(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the run; nothing can be recorded after that."""
        self.record("end", status=status, ended=now_ms())
        with self._forgiving():
            self._spool.release()


def start_trial(
    config: Config, parent: str, name: str, tags: Mapping[str, str], run_key: str | None = None
) -> TrialRun:
    """Start a run nested under the run of a study; the caller ends it.

    It only writes: the process that holds the run of the study (`track_stage` with ``run_key=parent``) sends it, while
    it goes on and after its end, and marks it as KILLED if this process dies. Nothing here imports mlflow.

    Parameters
    ----------
    config : Config
        All of params.yaml; of it the run gets the profile only.
    parent : str
        The `run_key` of the study.
    name : str
        Name of the run, such as ``trial 12``.
    tags : mapping of str to str
        Labels of the run.
    run_key : str, optional
        Names the run: trials started with the same key are one run.

    Returns
    -------
    TrialRun
        The logger of the trial.
    """
    spool = Spool.planned(Place.of_workspace().spool, _STUDY_STAGE, config.tracking.experiment, None, run_key, parent)
    return TrialRun(spool, {"name": name, "tags": {"profile": config.profile, **_code_tags(), **tags}})


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
    Tracking never stops the block: what the tracking store does not take stays in ``mlflow/spool`` and is sent later.

    Parameters
    ----------
    config : Config
        All of params.yaml.
    stage : str
        Name of the stage in dvc.yaml.
    inputs : iterable of Path, optional
        Files and folders the stage reads.
    resume_key : str, optional
        Says which training this is, such as a hash of what determines it: an unfinished run of the stage with the
        same key goes on, instead of a new one.
    run_key : str, optional
        Names the run, without quotation marks: processes that give the same key, on several machines too, write one
        run. Trials are nested under it by this key, and sent from here.

    Yields
    ------
    NullLogger
        A RunLogger; a NullLogger in the other processes of a distributed training.
    """
    if int(os.environ.get("RANK", "0")) > 0:
        yield NullLogger()
        return
    load_mlflow()
    place = Place.of_workspace()
    spool = claim(place, stage, config.tracking.experiment, resume_key, run_key)
    run = RunLogger(spool)
    run.record("start", execution=execution_key(), tags={"profile": config.profile, **code_tags()})
    run.log_params(without_places_and_people(flatten(config)))
    run.record("inputs", values=input_hashes(inputs))
    sampler = SystemSampler(run.log_metrics, spool.last_steps().get("system/cpu_utilization_percentage", -1) + 1)
    sender = Sender(spool, place)
    sampler.start()
    sender.start()
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
        sampler.close()
        run.record("end", status=status, ended=now_ms())
        sender.close()


@cache
def _code_tags() -> dict[str, str]:
    """Ask git once per process: a study has many trials."""
    return code_tags()
