"""Download a file by HTTP(S) whole or not at all: resumed, retried, measured and checked."""

import gzip
import hashlib
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter

from bmenet.runtime.errors import SourceError

RETRY = urllib3.Retry(
    total=4,
    backoff_factor=1.0,
    status_forcelist=(408, 425, 429, 500, 502, 503, 504),
    raise_on_status=False,
    respect_retry_after_header=False,
)
_CHUNK = 1 << 18
_TIMEOUT_S = (10, 30)
_ADVICE = (
    "Check the network and run again (what has arrived is kept), or use a copy of the data (mirror of its entry in"
    " data.sources; --root of mr-art)"
)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None: the server does not say)."""


class UnreachableError(SourceError):
    """The server cannot be reached at all; other files from it would fail as well."""


class _Interrupted(Exception):
    """A transfer that can be tried again."""


class _Damaged(Exception):
    """All bytes arrived, and they are not the file."""


@contextmanager
def ask(url: str, headers: dict[str, str] | None = None, retry: urllib3.Retry = RETRY) -> Iterator[requests.Response]:
    """Ask for a file, again where the server is busy or cannot be reached, and yield the answer, its body unread.

    Raises
    ------
    UnreachableError
        If no connection can be made.
    SourceError
        If the server does not speak HTTP.
    """
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S)
        except requests.ConnectionError as error:
            cause = getattr(error.args[0], "reason", None) if error.args else None
            if isinstance(cause, urllib3.exceptions.ReadTimeoutError):
                raise SourceError(f"{url}: the server sends nothing. {_ADVICE}") from error
            tries = int(retry.total or 0) + 1
            raise UnreachableError(f"{url}: the server cannot be reached, tried {tries} times. {_ADVICE}") from error
        except requests.RequestException as error:
            raise SourceError(f"{url}: expected an answer; got {error}") from error
        with response:
            yield response


def download(url: str, path: Path, *, progress: Progress | None = None, retry: urllib3.Retry = RETRY) -> None:
    """Download `url` to `path`.

    The bytes collect in ``<path>.part``, from where an interrupted download goes on (HTTP range request), also in a
    later call. The file takes its final name only when its size is what the server said, its MD5 is that of S3's ETag
    (where the object was stored in one part), and, for ``.gz``, the gzip checksum holds. A damaged file is thrown away
    and fetched once more from its start. `retry` tells how often a request is made again, and after what pause; also
    how often the transfer is, without a new byte.

    Raises
    ------
    UnreachableError
        If no connection can be made.
    SourceError
        If the server refuses the file, it stays incomplete or damaged, or the disk cannot hold it.
    """
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    furthest, failed, damaged = _size(part), 0, 0
    while True:
        try:
            _verify(part, _transfer(url, part, progress, retry))
            os.replace(part, path)
            return
        except _Interrupted as error:
            failed = failed + 1 if _size(part) <= furthest else 0
            furthest = max(furthest, _size(part))
            if failed > int(retry.total or 0):
                raise SourceError(
                    f"{url}: expected the whole file; gave up after {failed} tries: {error}. {_ADVICE}"
                ) from error
            time.sleep(retry.backoff_factor * failed)
        except _Damaged as error:
            part.unlink()
            furthest, damaged = 0, damaged + 1
            if damaged == 2:
                raise SourceError(f"{url}: expected a whole file; it arrived damaged twice: {error}") from error
        except OSError as error:
            raise SourceError(f"{path}: cannot be written: {error.strerror}") from error


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _transfer(url: str, part: Path, progress: Progress | None, retry: urllib3.Retry) -> str | None:
    """Bring `part` to its full size; return the MD5 that the file should have, if the server tells it."""
    here = _size(part)
    # Identity: compression on the way would make sizes and ranges meaningless.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={here}-"} if here else {})
    with ask(url, headers, retry) as response:
        here, total = _place(response, here)
        try:
            with open(part, "r+b" if here else "wb") as handle:
                handle.seek(here)
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    here += handle.write(chunk)
                    if progress is not None:
                        progress(here, total)
                os.fsync(handle.fileno())
        except urllib3.exceptions.HTTPError as error:
            raise _Interrupted(str(error)) from error
        md5 = _stored_md5(response)
    if total is not None and here < total:
        raise _Interrupted(f"{here} of {total} bytes arrived")
    if total is not None and here > total:
        raise _Damaged(f"{here} bytes arrived instead of {total}")
    return md5


def _place(response: requests.Response, here: int) -> tuple[int, int | None]:
    """Return where in the file the response begins and how long the file is (None: unknown)."""
    status, length = response.status_code, response.headers.get("Content-Length", "")
    if status == 200:
        return 0, int(length) if length.isdecimal() else None
    if status == 206:
        span = re.match(r"bytes (\d+)-\d+/(\d+)$", response.headers.get("Content-Range", ""))
        if span and int(span[1]) == here:
            return here, int(span[2])
        raise _Damaged(f"asked for bytes from {here}, got {response.headers.get('Content-Range')!r}")
    if status == 416 and here:
        raise _Damaged("an earlier download left more bytes than the file has")
    raise SourceError(f"{response.url}: expected a file; the server answered {status} {response.reason}. {_ADVICE}")


def _stored_md5(response: requests.Response) -> str | None:
    """Return the MD5 in the ETag: S3 puts it there unless the object came in parts or is encrypted with a KMS key."""
    etag = response.headers.get("ETag", "").strip('"')
    is_s3 = response.headers.get("Server") == "AmazonS3"
    is_plain = "kms" not in response.headers.get("x-amz-server-side-encryption", "")
    return etag if is_s3 and is_plain and re.fullmatch("[0-9a-f]{32}", etag) else None


def _verify(part: Path, md5: str | None) -> None:
    """Compare the checksum and, for gzip, read to the end."""
    if md5 is not None:
        with open(part, "rb") as handle:
            got = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if got != md5:
            raise _Damaged(f"MD5 {got} instead of {md5}")
    if part.name.endswith(".gz.part"):
        try:
            with gzip.open(part, "rb") as content:
                while content.read(_CHUNK):
                    pass
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _Damaged(str(error)) from error
