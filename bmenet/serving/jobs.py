"""One job at a time on a device, in all threads and processes; a short queue; jobs that can be cancelled."""

import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from bmenet.runtime.errors import ConfigError
from bmenet.serving.request import Refusal

_POLL_S = 0.05
_RETRY_AFTER_S = 30
_ROOM = "room-"
_FIRST_GPU = ("cuda", "tensorrt")
"""Names of the first GPU in torch and in ONNX Runtime's providers."""


class Cancel:
    """Tells a job to end, with the reason. The job asks at every report of progress and while it waits.

    After `limit_s` seconds, waiting included, it ends by itself.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._reason: Refusal | None = None
        self._limit_s, self._start = limit_s, time.monotonic()

    def __call__(self, reason: Refusal) -> None:
        """Ask the job to end; the first reason counts."""
        self._reason = self._reason or reason

    def check(self) -> None:
        """Raise the reason, if there is one."""
        if self._reason is None and self._limit_s is not None and time.monotonic() - self._start > self._limit_s:
            self._reason = too_late(self._limit_s)
        if self._reason is not None:
            raise self._reason


def too_late(limit_s: float) -> Refusal:
    """Return the answer after the time limit."""
    return Refusal(
        504,
        f"expected an answer within {limit_s} s, waiting included; the job took longer and is cancelled; start the"
        " server with a longer time (`bmenet serve --timeout`, `mlflow models serve -t`) or ask for fewer steps",
    )


class Jobs:
    """The queue in front of a device, and a private folder for the volumes of its jobs.

    Torch and ONNX Runtime's providers name a device: cuda, cuda:0 and tensorrt are one. Servers of one user on one
    machine that run on the same device take turns. While one job runs, as many may wait as `waiting` says.

    Raises
    ------
    ConfigError
        If the temporary folder of this user belongs to somebody else, or is open to others.
    """

    def __init__(self, device: str, waiting: int) -> None:
        physical = "cuda:0" if device in _FIRST_GPU else device
        self._own, self._waiting = _own_folder(), waiting
        self._device_lock = self._own / f"{re.sub(r'[^a-z0-9]', '-', physical)}.lock"
        self._places = threading.BoundedSemaphore(waiting + 1)
        self._line: deque[object] = deque()
        _remove_rooms_of_dead_servers(self._own)

    def take_place(self) -> None:
        """Take a place in the queue, to be given back by `give_place`; their number bounds the memory.

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
                {"Retry-After": str(_RETRY_AFTER_S)},
            )

    def give_place(self) -> None:
        """Give a place back."""
        self._places.release()

    @contextmanager
    def turn(self, cancel: Cancel) -> Iterator[None]:
        """Wait for the device, first come, first served in this process; hold it for the block.

        Raises
        ------
        Refusal
            The reason of `cancel`, within a twentieth of a second, while waiting.
        """
        ticket, lock = object(), FileLock(self._device_lock)  # the system frees it if its holder is killed
        self._line.append(ticket)
        try:
            while True:
                cancel.check()
                if self._line[0] is ticket:
                    with suppress(Timeout):
                        lock.acquire(timeout=0)
                        break
                time.sleep(_POLL_S)
            yield
        finally:
            lock.release()
            self._line.remove(ticket)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """Yield an empty folder for one request; it is removed after the block."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{_ROOM}{os.getpid()}-", dir=_own_folder()))
        except OSError as error:
            raise storage_refusal(error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the rooms of this process: what still runs in them was cancelled."""
        for room in self._own.glob(f"{_ROOM}{os.getpid()}-*"):
            shutil.rmtree(room, ignore_errors=True)


def storage_refusal(error: OSError) -> Refusal:
    """Return the answer where the temporary folder takes no more."""
    return Refusal(
        503,
        "expected room for the volume in the server's temporary folder; got an error"
        f" ({error.strerror or type(error).__name__}); free some space there, or set TMPDIR, and try again",
    )


def _own_folder() -> Path:
    """Return the folder ``bmenet-UID`` in the temporary one, which only this user can enter."""
    user = os.getuid() if hasattr(os, "getuid") else None
    folder = Path(tempfile.gettempdir()) / f"bmenet-{user}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not stat.S_IMODE(found.st_mode) & 0o077
    if user is not None and not is_own:  # where the system has no users, the temporary folder is the user's own
        raise ConfigError(
            f"{folder}: expected a folder of this user's own with mode 0700, for volumes and locks; got something else;"
            " remove it, or set TMPDIR to a folder of your own"
        )
    return folder


def _remove_rooms_of_dead_servers(own: Path) -> None:
    """Remove the volumes that killed servers left."""
    for room in own.glob(f"{_ROOM}*-*"):
        try:
            process = psutil.Process(int(room.name.removeprefix(_ROOM).partition("-")[0]))
            is_dead = process.create_time() > room.stat().st_mtime  # the number of a dead process is used again
        except (psutil.Error, ValueError, OSError):
            is_dead = True
        if is_dead:
            shutil.rmtree(room, ignore_errors=True)
