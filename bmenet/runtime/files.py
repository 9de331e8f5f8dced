"""Write files whole or not at all, and fingerprint them."""

import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bmenet.runtime.errors import BMENetError

_MARK = ".partial-"
_TOKEN_LENGTH = 8
_MAX_NAME_BYTES = 255
_STALE_S = 3600
"""A temporary file that nobody wrote to for so long was left by a writer that was killed. The age is all that counts:
the writer may be on another machine, or a live one of the same file, whose temporary file grows."""

_MARGIN_BYTES = 1 << 20
"""For headers, a sidecar, and what the file system keeps for itself."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path`, moved onto it when the block ends well.

    The temporary name keeps every suffix (``.nii.gz`` stays ``.nii.gz``), so writers that choose a format by
    name keep working. The content is flushed to disk before the move; after an exception nothing is left behind.
    What a killed writer of the same path left is removed once it is an hour old.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex[:_TOKEN_LENGTH]}-{_kept_name(path)}")
    _sweep(path)
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _kept_name(path: Path) -> str:
    """Return what a temporary name keeps of a name: its end, as much as fits, in whole characters of UTF-8."""
    room = _MAX_NAME_BYTES - len(_MARK) - _TOKEN_LENGTH - 1
    name = os.fsencode(path.name)
    start = max(len(name) - room, 0)
    while start < len(name) and name[start] & 0xC0 == 0x80:
        start += 1
    return os.fsdecode(name[start:])  # in the locale C a name has surrogates, which no other decoder gives back


def _sweep(path: Path) -> None:
    """Remove the stale temporary siblings of `path`."""
    pattern = f"{_MARK}{'?' * _TOKEN_LENGTH}-{glob.escape(_kept_name(path))}"
    for found in path.parent.glob(pattern):
        with suppress(OSError):  # another writer may be sweeping too
            if time.time() - found.stat().st_mtime > _STALE_S:
                found.unlink()


def check_space(path: Path | str, needed_bytes: int) -> None:
    """Refuse a path in whose folder there is not the space for so many bytes and a little more.

    Where that cannot be told, as in /proc, nothing is refused.

    Raises
    ------
    BMENetError
        If the disk is too full.
    """
    path = Path(path)
    try:
        usage = shutil.disk_usage(path.parent)
    except OSError:
        return
    needed = needed_bytes + _MARGIN_BYTES
    if usage.total and usage.free < needed:
        raise BMENetError(
            f"{path}: expected {needed / 1e6:,.1f} MB of free space in {path.parent}; got {usage.free / 1e6:,.1f} MB:"
            " make room, or choose another OUT"
        )


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON atomically; NaN is refused, because it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file (UTF-8)."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
