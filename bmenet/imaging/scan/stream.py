"""Bytes of a file that nobody vouches for: plain or gzip by content, checked, never more than was asked for."""

import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bmenet.runtime.errors import VolumeError

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_RATIO = 1032
"""No deflate stream is longer than this many times its compressed size (zlib's technical notes)."""

_CHUNK = 1 << 20
_MAX_TRAILING = 1 << 20


@dataclass(frozen=True)
class Stream:
    """An open file, read from the front; the path is for messages."""

    handle: BinaryIO
    path: Path
    capacity: int
    """Bytes that the file can hold at most once decompressed; known before anything is read."""

    def read(self, count: int) -> bytearray:
        """Return exactly `count` bytes; memory is taken only for what the file can hold.

        Raises
        ------
        VolumeError
            If the file ends before.
        """
        if count > self.capacity:
            raise VolumeError(f"{self.path}: truncated: expected {count} bytes; the file holds at most {self.capacity}")
        buffer = bytearray(count)
        view, done = memoryview(buffer), 0
        while done < count:
            got = self.handle.readinto(view[done : done + _CHUNK])  # type: ignore[attr-defined]
            if not got:
                raise VolumeError(f"{self.path}: truncated: expected {count} bytes; the file ends after {done}")
            done += got
        return buffer

    def finish(self) -> None:
        """Read to the end, which checks gzip's CRC; a little padding is allowed, a bomb is not unpacked."""
        left = _MAX_TRAILING
        while got := len(self.handle.read(min(left + 1, _CHUNK))):
            left -= got
            if left < 0:
                raise VolumeError(
                    f"{self.path}: expected the file to end with its voxels; got over {_MAX_TRAILING} bytes after them"
                )


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Open a regular file, gzip or not by its first bytes whatever its name says.

    Raises
    ------
    VolumeError
        If it is missing, unreadable, empty, not a regular file, or broken gzip at any point while it is read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise VolumeError(f"{path}: expected a file; got something else (a device, a pipe or a socket)")
        if status.st_size == 0:
            raise VolumeError(f"{path}: expected a NIfTI volume; got an empty file")
        with open(path, "rb") as raw:
            is_gzip = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not is_gzip:
                yield Stream(raw, path, status.st_size)
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield Stream(unpacked, path, status.st_size * _DEFLATE_RATIO)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VolumeError(f"{path}: broken gzip ({error}); copy or download the file again") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror or error})") from error
