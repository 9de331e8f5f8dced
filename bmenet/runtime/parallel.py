"""Volume-parallel work: one small helper on joblib, on this machine's processes or on a Dask cluster."""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from bmenet.runtime.errors import BMENetError
from bmenet.runtime.progress import console, progress_bar
from bmenet.runtime.threads import one_thread

SCHEDULER_VARIABLE = "BMENET_SCHEDULER"
WORKERS_VARIABLE = "BMENET_WORKERS"


@dataclass(frozen=True)
class Failure:
    """What stopped one item: its name, a one-line reason, and the traceback for the log."""

    name: str
    reason: str
    trace: str


def run_parallel(
    function: Callable[..., Any], items: Iterable[tuple[str, tuple]], *, description: str
) -> tuple[dict[str, Any], list[Failure]]:
    """Call ``function(*arguments)`` for every (name, arguments); one failure does not stop the others.

    ``BMENET_SCHEDULER`` is the ``tcp://host:port`` of a Dask scheduler, whose workers need one thread each
    (``dask worker --nthreads 1``), this project installed, and this folder under the same path. Without it
    ``BMENET_WORKERS`` processes of this machine do the work, by default one a core, of one thread each.

    Parameters
    ----------
    function : callable
        A top-level function: it must travel to another process.
    items : iterable of (str, tuple)
        A unique name and the positional arguments of each call.

    Returns
    -------
    results : dict
        Name to return value, in the order of `items`.
    failures : list of Failure
        The items that raised, in the order of `items`.

    Raises
    ------
    BMENetError
        If a worker process dies, or the cluster cannot be used.
    """
    todo = list(items)
    scheduler = os.environ.get(SCHEDULER_VARIABLE)
    jobs = [joblib.delayed(_guarded)(function, name, arguments, Path.cwd()) for name, arguments in todo]
    # On a cluster the scheduler decides how many run at once.
    n_jobs = -1 if scheduler else min(default_workers(), max(len(jobs), 1))
    outcomes: dict[str, Any] = {}
    with _cluster(scheduler) if scheduler else _processes(), progress_bar() as bar:
        task = bar.add_task(description, total=len(jobs), note="")
        for name, outcome in joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs):
            outcomes[name] = outcome
            bar.update(task, advance=1, note=name)
            if isinstance(outcome, Failure):
                console.print(f"{name}: {outcome.reason}", style="red", markup=False)
    in_order = {name: outcomes[name] for name, _ in todo}
    results = {name: outcome for name, outcome in in_order.items() if not isinstance(outcome, Failure)}
    return results, [outcome for outcome in in_order.values() if isinstance(outcome, Failure)]


def require_all(stage: str, failures: list[Failure], count: int) -> None:
    """Raise BMENetError if any of `count` cases of a stage failed; its message names them with their reasons."""
    if failures:
        listed = "; ".join(f"{failure.name} ({failure.reason})" for failure in failures)
        raise BMENetError(f"{stage}: {len(failures)} of {count} cases failed: {listed}")


def default_workers() -> int:
    """Return ``BMENET_WORKERS``, or the number of cores this process may use."""
    text = os.environ.get(WORKERS_VARIABLE)
    if text is None:
        return joblib.cpu_count()
    if not text.isdecimal() or int(text) == 0:
        raise BMENetError(f"{WORKERS_VARIABLE}: expected a number of processes from 1 on; got {text!r}")
    return int(text)


@contextmanager
def _processes() -> Iterator[None]:
    """Let joblib run on processes of this machine, one thread each."""
    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            yield
    except TerminatedWorkerError as error:
        raise BMENetError(
            f"a worker process died, most likely for want of memory; what is done is kept: run again with "
            f"{WORKERS_VARIABLE}=1 ({str(error).splitlines()[0]})"
        ) from error


@contextmanager
def _cluster(scheduler: str) -> Iterator[None]:
    """Let joblib run on the Dask cluster at `scheduler`."""
    try:
        from dask.distributed import Client
    except ImportError:
        raise BMENetError("a Dask scheduler was given but Dask is missing: pip install 'bmenet[cluster]'") from None
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise BMENetError(
            f"scheduler: expected the address of a running Dask scheduler; got {scheduler!r} ({error})"
        ) from error
    with client:
        threads = client.nthreads()
        if not threads or any(count != 1 for count in threads.values()):
            raise BMENetError(
                f"{scheduler}: expected workers of one thread each (dask worker --nthreads 1); got {threads or 'none'}"
            )
        with joblib.parallel_config(backend="dask"):
            yield


def _guarded(function: Callable[..., Any], name: str, arguments: tuple, folder: Path) -> tuple[str, Any]:
    """Call `function` in `folder` and turn an exception into a Failure, so that it reaches the parent as a value."""
    try:
        os.chdir(folder)
        with one_thread():
            return name, function(*arguments)
    except Exception as error:
        return name, Failure(name, f"{type(error).__name__}: {error}", traceback.format_exc())
