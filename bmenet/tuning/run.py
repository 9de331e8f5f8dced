"""Run a study: worker processes, a parent that replaces the killed ones, the report."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.markup import escape

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.runtime.progress import console, progress_bar
from bmenet.runtime.threads import thread_count, threads_of_children
from bmenet.tracking import track_stage
from bmenet.tuning.plan import Plan
from bmenet.tuning.report import Found, look_at, write_report
from bmenet.tuning.study import (
    RUN,
    STATES,
    best_trial,
    counted,
    fail_stale,
    is_enough,
    open_study,
)
from bmenet.tuning.trial import record_ended
from bmenet.tuning.worker import work

_LOOK_S = 0.5
_MAX_DEATHS = 3
"""So many workers killed one after the other, with no trial ending between them, end the call."""
_GOODBYE_S = 60.0


def tune(
    config: Config, layout: Layout, workers: int = 1, chosen: int | None = None, storage: str | None = None
) -> Found:
    """Run the study until its budget is used up, and report it into ``reports/tune``.

    A study that was stopped goes on; one that is done is only reported. Interrupted, it is reported as far as it got.
    `workers` are processes on this machine; `chosen` is the number of the complete trial to be taken for the best;
    `storage` is a SQLAlchemy URL, by default ``BMENET_STUDIES``, else an SQLite file of the workspace.

    Raises
    ------
    ConfigError, VolumeError, WeightsError
        If something is missing or does not fit.
    BMENetError
        If workers fail, or no trial is complete.
    """
    plan = Plan.of_workspace(config, layout, storage)
    study = open_study(plan)
    picked = _chosen(study, chosen)
    inputs = [layout.registered, layout.degraded_folder, layout.coarse_folder, layout.split]
    inputs += [layout.weights(kind) for kind in plan.weights]
    with track_stage(config, "tune", inputs, run_key=study.user_attrs[RUN]) as run:
        run.set_tags({"study": study.study_name})
        try:
            run_study(plan, study, workers)
        finally:
            found = look_at(plan, study, picked)
            if found.best is not None:
                write_report(plan, study, found, layout.report("tune"))
                run.log_metrics({f"tune.{name}": value for name, value in found.numbers.items()})
                run.set_tags({f"best.{key}": value for key, value in found.values.items()})
                run.log_artifact(layout.report("tune"), "reports")
    if found.best is None:
        raise BMENetError(
            f"tune: expected at least one complete trial; got {found.states}; "
            + ("raise --trials" if not config.tune.trials else "the reasons are in the runs of the trials")
        )
    return found


def _chosen(study: optuna.Study, number: int | None) -> FrozenTrial | None:
    """Return the trial that was asked for, if it is complete."""
    if number is None:
        return None
    trials = study.get_trials(deepcopy=False)
    if number < len(trials) and trials[number].state == TrialState.COMPLETE:
        return trials[number]
    offered = [trial.number for trial in (study.best_trials if len(study.directions) > 1 else trials)]
    raise ConfigError(f"--trial: expected the number of a complete trial, such as one of {offered[:10]}; got {number}")


def run_study(plan: Plan, study: optuna.Study, workers: int) -> None:
    """Run trials until the study has `tune.trials` that count, or `tune.timeout_s` is over.

    Other processes, here or on other machines, may work at the same study. A worker that is killed is replaced; its
    trial is tried once more when its heartbeat has been missing for `plan.grace_s` seconds.

    Raises
    ------
    BMENetError
        If a worker fails by itself, or one is killed after the other.
    KeyboardInterrupt, SystemExit
        After a signal; the workers have then put their trials back and left.
    """
    crew = _Crew(plan, workers)
    seen: set[int] = set()
    budget = plan.config.tune.trials
    deaths, done = 0, len(counted(study))
    with progress_bar() as bar:
        task = bar.add_task("trials", total=budget, completed=min(done, budget), note="")
        try:
            while True:
                fail_stale(study, seen)
                record_ended(plan, study)
                deaths += crew.reap()
                before, done = done, len(counted(study))
                deaths = 0 if done > before else deaths
                if deaths >= _MAX_DEATHS:
                    raise BMENetError(
                        f"tune: {deaths} workers died one after the other, most likely for want of memory; what is done"
                        " is kept: run it again with fewer --workers"
                    )
                bar.update(task, completed=min(done, budget), note=escape(_note(study)))
                if not crew.processes and (done >= budget or crew.is_late):
                    return
                if not crew.is_late and not is_enough(study, budget):
                    crew.fill()
                time.sleep(_LOOK_S)
        finally:
            crew.dismiss()
            record_ended(plan, study, is_over=True)


class _Crew:
    """The worker processes of this machine."""

    def __init__(self, plan: Plan, size: int) -> None:
        self._plan, self._size = plan, size
        self._context = multiprocessing.get_context("spawn")
        self._stop: Event = self._context.Event()
        self._threads = max(1, thread_count() // size)
        self.processes: dict[int, SpawnProcess] = {}
        timeout = plan.config.tune.timeout_s
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def is_late(self) -> bool:
        """Whether no trial is to begin any more."""
        return self._end is not None and time.monotonic() >= self._end

    def fill(self) -> None:
        """Start the workers that are missing."""
        seconds = None if self._end is None else self._end - time.monotonic()
        for number in set(range(self._size)) - set(self.processes):
            process = self._context.Process(target=work, args=(self._plan, number, self._threads, seconds, self._stop))
            with threads_of_children(self._threads), _ignored_by_children(signal.SIGINT):
                process.start()
            self.processes[number] = process

    def reap(self) -> int:
        """Forget the workers that have ended, and return how many were killed; one with an error of its own raises."""
        codes = {number: process.exitcode for number, process in self.processes.items()}
        ended = {number: code for number, code in codes.items() if code is not None}
        for number, code in ended.items():
            del self.processes[number]
            if code > 0:
                raise BMENetError(
                    f"tune: a worker ended with exit code {code}, its message is above; what is done is kept"
                )
            if code < 0:
                console.print(f"a worker was killed by signal {-code}", style="yellow")
        return sum(code != 0 for code in ended.values())

    def dismiss(self) -> None:
        """Let every worker put its trial back and leave; kill those that do not."""
        self._stop.set()
        for process in self.processes.values():
            process.terminate()
        end = time.monotonic() + _GOODBYE_S
        for process in self.processes.values():
            process.join(max(0.1, end - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        self.processes.clear()


def _note(study: optuna.Study) -> str:
    """Return what stands beside the number of trials."""
    trials = [*counted(study), *study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    words = []
    if best := best_trial(study):
        words.append(f"best {', '.join(f'{value:+.4g}' for value in best.values)} (trial {best.number})")
    for state in (TrialState.RUNNING, TrialState.PRUNED, TrialState.FAIL):
        if count := sum(trial.state == state for trial in trials):
            words.append(f"{count} {STATES.get(state, 'running')}")
    return ", ".join(words)


@contextmanager
def _ignored_by_children(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started inside ignore a signal, so that Ctrl-C in a terminal reaches the parent only."""
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, previous)
