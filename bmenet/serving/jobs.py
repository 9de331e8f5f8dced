"""One job at a time on a device, whatever the number of threads and servers; a short queue; jobs that can be ended."""

import re
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bmenet.serving.refusal import Refusal
from bmenet.serving.workplace import user_id

_POLL_S = 0.05
_RETRY_AFTER_S = 30


class Cancel:
    """A wish that a job ends, with the reason; the job looks at it where it reports progress and while it waits."""

    def __init__(self) -> None:
        self._reason: Refusal | None = None

    def __call__(self, reason: Refusal) -> None:
        """Ask the job to end; the first reason counts."""
        self._reason = self._reason or reason

    def check(self) -> None:
        """Raise the reason, if there is one."""
        if self._reason is not None:
            raise self._reason


class Jobs:
    """The queue in front of a device.

    Parameters
    ----------
    device : str
        As torch names it. Servers of one user on one machine that name the same device take turns.
    waiting : int
        Jobs that may wait while one runs.
    """

    def __init__(self, device: str, waiting: int) -> None:
        name = f"bmenet-{user_id()}-{re.sub(r'[^a-z0-9]', '-', device)}.lock"
        self._lock_path = Path(tempfile.gettempdir()) / name
        self._places = threading.BoundedSemaphore(waiting + 1)
        self._waiting = waiting
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    def take_place(self) -> None:
        """Take a place in the queue, to be given back by `give_place`; memory is bounded by their number.

        Raises
        ------
        Refusal
            503 if all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(
                503,
                f"expected at most {self._waiting} jobs in the queue (BMENET_MAX_WAITING); got one more; try again"
                f" in {_RETRY_AFTER_S} s",
                [("Retry-After", str(_RETRY_AFTER_S))],
            )

    def give_place(self) -> None:
        """Give a place back."""
        self._places.release()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block."""
        self.take_place()
        try:
            yield
        finally:
            self.give_place()

    @contextmanager
    def turn(self, cancel: Cancel) -> Iterator[None]:
        """Wait for the device, first come, first served in this process; hold it for the block.

        Raises
        ------
        Refusal
            The reason of `cancel`, within a twentieth of a second, while waiting.
        """
        ticket = object()
        with self._moved:
            self._line.append(ticket)
        try:
            with self._moved:
                while self._line[0] is not ticket:
                    cancel.check()
                    self._moved.wait(_POLL_S)
            with self._device(cancel):
                yield
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()

    @contextmanager
    def _device(self, cancel: Cancel) -> Iterator[None]:
        """Hold the lock that all processes share; the system frees it if its holder is killed."""
        lock = FileLock(self._lock_path, mode=0o600)
        while True:
            cancel.check()
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                time.sleep(_POLL_S)
            except OSError as error:
                raise Refusal(
                    500,
                    f"expected the lock of the device in the server's temporary folder; got an error"
                    f" ({error.strerror or type(error).__name__}); remove the file there or set TMPDIR",
                ) from error
        try:
            yield
        finally:
            lock.release()
