"""Volume-parallel work: one small helper on joblib, on this machine's processes or on a Dask cluster."""

import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import joblib

from bmenet.progress import console, progress_bar

SCHEDULER_VARIABLE = "BMENET_SCHEDULER"
WORKERS_VARIABLE = "BMENET_WORKERS"
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Failure:
    """What stopped one item: its name, a one-line reason, and the traceback for the log."""

    name: str
    reason: str
    trace: str


def run_parallel(
    function: Callable[..., Any],
    items: Iterable[tuple[str, tuple]],
    *,
    description: str,
    workers: int | None = None,
    scheduler: str | None = None,
) -> tuple[dict[str, Any], list[Failure]]:
    """Call ``function(*arguments)`` for every (name, arguments); one failure does not stop the others.

    Parameters
    ----------
    function : callable
        A top-level function: it must travel to another process.
    items : iterable of (str, tuple)
        A unique name and the positional arguments of each call.
    description : str
        Shown on the progress bar.
    workers : int, optional
        Processes; by default ``BMENET_WORKERS``, else the cores this process may use. Each runs one thread.
    scheduler : str, optional
        ``tcp://host:port`` of a Dask scheduler; by default ``BMENET_SCHEDULER``, else processes on this machine.

    Returns
    -------
    results : dict
        Name to return value, in the order of `items`.
    failures : list of Failure
        The items that raised.
    """
    todo = list(items)
    scheduler = scheduler or os.environ.get(SCHEDULER_VARIABLE)
    workers = workers or int(os.environ.get(WORKERS_VARIABLE, 0)) or len(os.sched_getaffinity(0))
    jobs = [joblib.delayed(_guarded)(function, name, arguments) for name, arguments in todo]
    outcomes: dict[str, Any] = {}
    with _backend(scheduler), progress_bar() as bar:
        task = bar.add_task(description, total=len(jobs), note="")
        # On a cluster the scheduler decides how many run at once.
        n_jobs = -1 if scheduler else min(workers, max(len(jobs), 1))
        for name, outcome in joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
            outcomes[name] = outcome
            bar.update(task, advance=1, note=name)
            if isinstance(outcome, Failure):
                console.print(f"[red]{name}[/red]: {outcome.reason}")
    failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Failure)]
    results = {name: outcomes[name] for name, _ in todo if not isinstance(outcomes[name], Failure)}
    return results, failures


def _backend(scheduler: str | None) -> Any:
    """Return the joblib backend: loky processes with one thread each, or the Dask cluster at `scheduler`."""
    if scheduler is None:
        return joblib.parallel_config(backend="loky", inner_max_num_threads=1)
    from dask.distributed import Client

    client = Client(scheduler, timeout="10s", set_as_default=True)
    client.run(_limit_threads)
    return joblib.parallel_config(backend="dask")


def _guarded(function: Callable[..., Any], name: str, arguments: tuple) -> tuple[str, Any]:
    """Call `function` and turn an exception into a Failure, so that it reaches the parent as a value."""
    _limit_threads()
    try:
        return name, function(*arguments)
    except Exception as error:
        return name, Failure(name, f"{type(error).__name__}: {error}", traceback.format_exc())


def _limit_threads() -> None:
    """Keep every numeric library of this worker to one thread: several pools on shared cores slow one another."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = "1"
    import torch

    torch.set_num_threads(1)
