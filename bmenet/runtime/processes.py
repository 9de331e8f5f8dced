"""Tell processes apart: their numbers are used again."""

import psutil

_TOLERANCE_S = 2
"""The boot time, which starting times are counted from, is only so exact."""


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
