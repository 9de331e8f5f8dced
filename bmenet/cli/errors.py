"""Turn expected errors and signals into one line on stderr, an exit code, and nothing half-written."""

import signal
import sys
import threading
from collections.abc import Iterator
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


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print a BMENetError on one line and exit with 1; leave in order after a signal, with the code that shells give.

    Any other exception is a bug: show it. A training, which finishes its step first, has a SIGTERM handler of its own.
    """
    with _exit_on_sigterm():
        try:
            yield
        except BMENetError as error:
            print(f"bmenet: {' '.join(str(error).split())}", file=sys.stderr)
            raise SystemExit(1) from error
        except KeyboardInterrupt:
            print("bmenet: interrupted; what was finished is kept", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None


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
