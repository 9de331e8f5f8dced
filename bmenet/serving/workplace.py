"""A private folder for volumes in work, which does not outlive its server, even a killed one."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bmenet.serving.refusal import Refusal

_PREFIX = "bmenet-serving"


def user_id() -> int:
    """Return the number of the user; 0 where the system has none, whose temporary folder is the user's own."""
    return os.getuid() if hasattr(os, "getuid") else 0


class Workplace:
    """A folder in the system's temporary one that only this user can enter, named by user and process.

    What servers that were killed left behind is removed first.
    """

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        _sweep(base)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{user_id()}-{os.getpid()}-", dir=base))

    @contextmanager
    def room(self) -> Iterator[Path]:
        """Yield an empty folder for one request, gone after it."""
        try:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
        except OSError as error:
            raise storage_refusal(error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def storage_refusal(error: OSError) -> Refusal:
    """Return the answer where the temporary folder takes no more."""
    return Refusal(
        503,
        "expected room for the volume in the server's temporary folder; got an error"
        f" ({error.strerror or type(error).__name__}); free some space there, or set TMPDIR, and try again",
    )


def _sweep(base: Path) -> None:
    """Remove the folders of this user's servers that are not running any more."""
    pattern = re.compile(rf"{_PREFIX}-{user_id()}-(\d+)-.+")
    for folder in base.glob(f"{_PREFIX}-*"):
        found = pattern.fullmatch(folder.name)
        with suppress(OSError):
            if found and not psutil.pid_exists(int(found[1])) and not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)
