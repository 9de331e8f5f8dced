"""How many threads this process may use, and how it is told from others: their numbers are used again."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import psutil

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
"""What numeric libraries read when they are loaded."""

_TOLERANCE_S = 2
"""The boot time, which starting times are counted from, is only so exact."""


def thread_count() -> int:
    """Return ``OMP_NUM_THREADS``, or the number of cores this process may use."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else joblib.cpu_count()


def use_one_thread() -> None:
    """Keep every numeric library of this process to one thread: several pools on shared cores slow one another."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Do as `use_one_thread` does inside, and give the threads back behind."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else thread_count()
    with threads_of_children(1):
        use_one_thread()
        try:
            yield
        finally:
            if torch := sys.modules.get("torch"):
                torch.set_num_threads(before)


@contextmanager
def threads_of_children(count: int) -> Iterator[None]:
    """Let processes that are started inside have so many threads; they read it when they load their libraries."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def this_process() -> tuple[int, float]:
    """Return the number of this process, and when it started, in seconds since 1970."""
    process = psutil.Process()
    return process.pid, process.create_time()


def is_alive(pid: int, started: float) -> bool:
    """Tell whether the process of this machine with that number and that start lives; a zombie does not."""
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - started) < _TOLERANCE_S
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
