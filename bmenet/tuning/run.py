"""Run a study: start workers, watch over them and their trials, show how far it is."""

import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event

import optuna
from optuna.trial import TrialState
from rich.markup import escape

from bmenet.runtime.errors import BMENetError
from bmenet.runtime.progress import console, progress_bar
from bmenet.runtime.threads import thread_count, threads_of_children
from bmenet.tuning.liveness import Watch
from bmenet.tuning.plan import Plan
from bmenet.tuning.study import best_trial, counted, counts_or_runs
from bmenet.tuning.trial import is_enough
from bmenet.tuning.worker import Shift, work

_LOOK_S = 0.5
_MAX_DEATHS = 3
"""So many workers that die one after the other, with no trial between them that ends, are no accident."""
_GOODBYE_S = 60.0


def run_study(plan: Plan, study: optuna.Study, workers: int) -> None:
    """Run trials until the study has `tune.trials` that count, or `tune.timeout_s` is over.

    Other processes, here or on other machines, may work at the same study. A worker that is killed is replaced, and its
    trial tried once more; so is one of another machine that has fallen silent.

    Parameters
    ----------
    plan : Plan
    study : optuna.Study
    workers : int
        Processes on this machine.

    Raises
    ------
    BMENetError
        If a worker fails by itself, or one dies after the other.
    KeyboardInterrupt, SystemExit
        After a signal; the running trials have then been put back into the queue.
    """
    crew = _Crew(plan, workers)
    watch = Watch(study)
    budget = plan.config.tune.trials
    dead = 0
    with progress_bar() as bar:
        task = bar.add_task("trials", total=budget, completed=min(counted(study), budget), note="")
        try:
            while True:
                for trial in watch.bury():
                    console.print(f"trial {trial.number}: its process died; it is tried once more", style="yellow")
                done = counted(study)
                if done > bar.tasks[task].completed:
                    dead = 0
                bar.update(task, completed=min(done, budget), note=escape(_note(study)))
                dead += crew.reap()
                if dead >= _MAX_DEATHS:
                    raise BMENetError(
                        f"tune: {dead} workers died one after the other, most likely for want of memory; what is done"
                        " is kept: run it again with fewer --workers"
                    )
                if done >= budget or (crew.is_late and not crew.is_working):
                    break
                if not crew.is_late and not is_enough(study, budget):
                    crew.fill()
                time.sleep(_LOOK_S)
        finally:
            crew.dismiss()
            watch.bury()


class _Crew:
    """The worker processes of this machine.

    Parameters
    ----------
    plan : Plan
    size : int
    """

    def __init__(self, plan: Plan, size: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._stop: Event = self._context.Event()
        self._plan, self._size = plan, size
        self._threads = max(1, thread_count() // size)
        self._processes: dict[int, SpawnProcess] = {}
        timeout = plan.config.tune.timeout_s
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def is_late(self) -> bool:
        """Whether no trial is to begin any more."""
        return self._end is not None and time.monotonic() >= self._end

    @property
    def is_working(self) -> bool:
        """Whether there is a worker."""
        return bool(self._processes)

    def fill(self) -> None:
        """Start the workers that are missing."""
        seconds = None if self._end is None else self._end - time.monotonic()
        for number in set(range(self._size)) - set(self._processes):
            shift = Shift(self._plan, self._plan.config.tune.trials, seconds, self._threads, number)
            process = self._context.Process(target=work, args=(shift, self._stop), name=f"tune-{number}")
            # Ctrl-C is for this process; the others leave its group as soon as they have loaded what they need.
            with threads_of_children(self._threads), _ignored_by_children(signal.SIGINT):
                process.start()
            self._processes[number] = process

    def reap(self) -> int:
        """Let go of the workers that have ended, and return how many were killed.

        Raises
        ------
        BMENetError
            If one has ended with an error of its own.
        """
        killed = 0
        for number, process in list(self._processes.items()):
            if process.exitcode is None:
                continue
            del self._processes[number]
            if process.exitcode > 0:
                raise BMENetError(
                    f"tune: a worker ended with exit code {process.exitcode}, its message is above; what is done is"
                    " kept"
                )
            if process.exitcode < 0:
                killed += 1
                console.print(f"a worker was killed by signal {-process.exitcode}", style="yellow")
        return killed

    def dismiss(self) -> None:
        """Ask every worker to put its trial back and to leave; kill those that do not."""
        self._stop.set()
        for process in self._processes.values():
            process.terminate()
        end = time.monotonic() + _GOODBYE_S
        for process in self._processes.values():
            process.join(max(0.1, end - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        self._processes.clear()


def _note(study: optuna.Study) -> str:
    """Say what there is beside the number of trials."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state for trial in filter(counts_or_runs, trials))
    words = [
        f"{states[state]} {word}"
        for state, word in ((TrialState.RUNNING, "running"), (TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed"))
        if states[state]
    ]
    if best := best_trial(study):
        words.insert(0, f"best {', '.join(f'{value:+.4g}' for value in best.values)} (trial {best.number})")
    return ", ".join(words)


@contextmanager
def _ignored_by_children(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started inside ignore a signal: they inherit that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, previous)
