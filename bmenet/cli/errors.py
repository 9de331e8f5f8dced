"""Turn expected errors and signals into one line on stderr, an exit code, and nothing half-written; run a stage so."""

import argparse
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bmenet.runtime.errors import BMENetError

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it: 128 and the number of the signal."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 the input or the work failed, one line on stderr says why; 2 wrong use; "
    f"{INTERRUPTED} after Ctrl-C; {128 + signal.SIGTERM} after SIGTERM."
)
"""The last line of every command's help."""

_MEMORY_NEEDED = (
    "a head of 1 mm voxels takes 4 GiB, with the second stage 10, and finer voxels more; close other programs, or take"
    " another machine"
)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a BMENetError, or a lack of memory, on one line and exit with 1; after a signal with the code of shells.

    Any other exception is a bug: show it. A training, which finishes its step first, has a SIGTERM handler of its own.
    """
    with _exit_on_sigterm():
        try:
            yield
        except BMENetError as error:
            print(f"bmenet: {' '.join(str(error).split())}", file=sys.stderr)
            raise SystemExit(1) from error
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            print(
                f"bmenet: not enough memory: {_MEMORY_NEEDED} ({' '.join(str(error).split())[:200]})", file=sys.stderr
            )
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            print("bmenet: interrupted; what was finished is kept", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Tell a lack of memory, of numpy or of torch on a CPU or GPU, from a bug."""
    text = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text


def run_stage(main: Callable[[], None]) -> None:
    """Run ``python -m pipelines.<stage> [--scheduler ADDRESS] [--workers N]``, where that or the environment says.

    The place of the work is no parameter of the result: under ``dvc repro`` set ``BMENET_SCHEDULER`` or
    ``BMENET_WORKERS`` instead.
    """
    from bmenet.runtime.parallel import SCHEDULER_VARIABLE, WORKERS_VARIABLE

    parser = argparse.ArgumentParser(description=inspect.getdoc(main))
    parser.add_argument("--scheduler", help=f"a Dask cluster, tcp://host:port (default: {SCHEDULER_VARIABLE})")
    parser.add_argument("--workers", help=f"processes on this machine (default: {WORKERS_VARIABLE}, or one a core)")
    arguments = parser.parse_args()
    for variable, value in ((SCHEDULER_VARIABLE, arguments.scheduler), (WORKERS_VARIABLE, arguments.workers)):
        if value:
            os.environ[variable] = value
    with exit_on_error():
        main()


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block by an exception, so that half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have handlers
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(signal_number: int, _frame: Any) -> None:
    sys.exit(128 + signal_number)
