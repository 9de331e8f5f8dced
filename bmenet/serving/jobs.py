"""One job at a time on a device, whatever the number of threads and servers; a short queue; jobs that can be ended."""

import os
import re
import stat
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bmenet.runtime.errors import ConfigError
from bmenet.serving.refusal import Refusal
from bmenet.serving.workplace import user_id

_POLL_S = 0.05
_RETRY_AFTER_S = 30
_FIRST_GPU = re.compile("cuda|tensorrt")
"""Names without a number, of torch and of ONNX Runtime's providers."""
_SESSIONS = Path("/run/user")


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
        As torch or ONNX Runtime's providers name it: cuda, cuda:0 and tensorrt are one. Servers of one user on one
        machine that run on the same device take turns.
    waiting : int
        Jobs that may wait while one runs.

    Raises
    ------
    ConfigError
        If there is no folder for the lock that is this user's alone.
    """

    def __init__(self, device: str, waiting: int) -> None:
        physical = "cuda:0" if _FIRST_GPU.fullmatch(device) else device
        self._lock_name = f"bmenet-{re.sub(r'[^a-z0-9]', '-', physical)}.lock"
        _own_folder()  # what is wrong with it is told when the server starts
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
        lock = FileLock(_own_folder() / self._lock_name, mode=0o600)
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
                    f"expected the lock of the device in the server's own folder; got an error"
                    f" ({error.strerror or type(error).__name__}); remove the file there, or set XDG_RUNTIME_DIR",
                ) from error
        try:
            yield
        finally:
            lock.release()


def _own_folder() -> Path:
    """Return a folder that nobody else can write to: who made a lock's file first could keep it for good.

    That of the user's session, told by XDG_RUNTIME_DIR or where it usually is, or else one in the temporary folder. It
    is asked for each time: the session's folder goes when the user logs out.

    Raises
    ------
    ConfigError
        If the one in the temporary folder is somebody else's, or open to others.
    """
    session = Path(os.environ.get("XDG_RUNTIME_DIR") or _SESSIONS / str(user_id()))
    if session.is_absolute() and _why_not_own(session) is None:
        return session
    folder = Path(tempfile.gettempdir()) / f"bmenet-{user_id()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        reason = _why_not_own(folder)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason is not None:
        raise ConfigError(
            f"{folder}: expected a folder of this user's own with mode 0700, for the lock of the device; got: {reason};"
            " remove it, or set XDG_RUNTIME_DIR or TMPDIR to a folder of your own"
        )
    return folder


def _why_not_own(folder: Path) -> str | None:
    """Return why a folder is not this user's alone, None where it is."""
    try:
        found = folder.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if not stat.S_ISDIR(found.st_mode):
        return "a link or a file"
    if not hasattr(os, "getuid"):  # no users and modes: the temporary folder is the user's own
        return None
    if found.st_uid != user_id():
        return f"it belongs to user {found.st_uid}"
    mode = stat.S_IMODE(found.st_mode)
    return f"mode {mode:04o}" if mode & 0o077 else None
