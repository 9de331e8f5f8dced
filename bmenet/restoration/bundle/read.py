"""Open a bundle that nobody vouches for: every path, link and checksum is checked before a file is used."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from bmenet.networks.weights import SPEC_FILE
from bmenet.restoration.bundle.agreement import check_agreement
from bmenet.restoration.bundle.manifest import FORMAT_VERSION, MANIFEST_FILE, Manifest
from bmenet.runtime.errors import WeightsError

_MAX_MANIFEST_BYTES = 1 << 22


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its manifest says.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
    digest : str
        SHA-256 of ``bundle.json``, which holds the checksums of all other files: it names the whole bundle.
    """

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def weights(self) -> Path:
        """The folder of the networks' own folders (safetensors)."""
        return self.folder / "weights"

    @property
    def has_fine(self) -> bool:
        """Whether the bundle has the second stage."""
        return self.manifest.fine is not None

    @property
    def total_bytes(self) -> int:
        """Size of all files but ``bundle.json``."""
        return sum(file.bytes for file in self.manifest.files.values())


def open_bundle(folder: Path | str) -> Bundle:
    """Check a bundle and return it; nothing in it is loaded, and nothing runs.

    Raises
    ------
    WeightsError
        If ``bundle.json`` is missing, of another format or not valid; if a file that it names is missing, lies outside
        the bundle, is a link or is not what its checksum says; if the bundle holds a file that it does not name; or if
        it says otherwise than the weights about themselves.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    try:
        with _open_regular(path) as handle:
            content = handle.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise WeightsError(
            f"{path}: expected a bundle's description; {error.strerror or error}; write a bundle with `bmenet export`"
        ) from error
    manifest = _parse(path, content)
    for name in manifest.files:
        _check_place(folder, name)
    bundle = Bundle(folder, manifest, hashlib.sha256(content).hexdigest())
    for name in manifest.files:
        check_file(bundle, name)
    if unknown := sorted(_files(folder) - set(manifest.files) - {MANIFEST_FILE}):
        raise WeightsError(
            f"{folder}: expected only the files that {MANIFEST_FILE} names; got {', '.join(unknown[:3])} too; remove it"
            " or export the bundle again"
        )
    check_agreement(manifest, {name: read_file(bundle, name) for name in manifest.files if name.endswith(SPEC_FILE)})
    return bundle


def check_file(bundle: Bundle, name: str) -> None:
    """Check that a file is what its checksum says, and no link.

    Raises
    ------
    WeightsError
    """
    with _whole(bundle, name) as handle:
        size = os.fstat(handle.fileno()).st_size
        _compare(bundle, name, size, lambda: hashlib.file_digest(handle, "sha256").hexdigest())


def read_file(bundle: Bundle, name: str) -> bytes:
    """Return what a file holds, read once and checked: what is used is what was checked.

    Raises
    ------
    WeightsError
        If it is not what its checksum says, or a link.
    """
    with _whole(bundle, name) as handle:
        content = handle.read()
    _compare(bundle, name, len(content), lambda: hashlib.sha256(content).hexdigest())
    return content


def _parse(path: Path, content: bytes) -> Manifest:
    """Validate the description."""
    if len(content) > _MAX_MANIFEST_BYTES:
        raise WeightsError(f"{path}: expected at most {_MAX_MANIFEST_BYTES} bytes; got more; export the bundle again")
    try:
        raw = json.loads(content)
        found = raw.get("format_version") if isinstance(raw, dict) else type(raw).__name__
        if found != FORMAT_VERSION:
            newer = isinstance(found, int) and found > FORMAT_VERSION
            advice = "update bmenet" if newer else "export it again"
            raise WeightsError(f"{path}: expected format_version {FORMAT_VERSION}; got {found!r}; {advice}")
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise WeightsError(f"{path}: {key}: {first['msg']}; export the bundle again") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON ({error}); export the bundle again") from error


def _check_place(folder: Path, name: str) -> None:
    """Check that a path stays inside the bundle, and that no folder on the way is a link."""
    place = PurePosixPath(name)
    is_plain = not place.is_absolute() and place.parts and not {"..", "."} & set(name.split("/")) and "\\" not in name
    if not is_plain or "\0" in name or place.as_posix() != name:
        raise WeightsError(f"{folder / MANIFEST_FILE}: expected paths inside the bundle; got {name!r}; do not use it")
    path = folder
    for part in place.parts[:-1]:
        path /= part
        try:
            is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError as error:
            raise WeightsError(f"{path}: expected a folder of the bundle; {error.strerror}; copy it again") from error
        if not is_folder:
            raise WeightsError(f"{path}: expected a folder; got a link or something else; copy the bundle again")


@contextmanager
def _whole(bundle: Bundle, name: str) -> Iterator[BufferedReader]:
    """Open a file of the bundle."""
    _check_place(bundle.folder, name)
    try:
        with _open_regular(bundle.folder / name) as handle:
            yield handle
    except OSError as error:
        raise WeightsError(
            f"{bundle.folder / name}: expected a file of the bundle; {error.strerror or error}; copy or export it again"
        ) from error


def _compare(bundle: Bundle, name: str, size: int, digest: Callable[[], str]) -> None:
    """Compare a file with its entry."""
    file = bundle.manifest.files[name]
    expected, got = f"{file.bytes} bytes", f"{size} bytes"
    if size == file.bytes:
        expected, got = f"SHA-256 {file.sha256}", f"SHA-256 {digest()}"
    if expected != got:
        raise WeightsError(
            f"{bundle.folder / name}: expected {expected}; got {got}; the file is damaged or was replaced: copy or"
            " export the bundle again"
        )


def _open_regular(path: Path) -> BufferedReader:
    """Open a regular file; a link or a device is none, and a pipe does not make the reader wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is a folder, a pipe or a device, not a file")
    return os.fdopen(descriptor, "rb")


def _files(folder: Path) -> set[str]:
    """Return every file, link or device below a folder, relative to it; links are not followed."""
    found: set[str] = set()
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found |= {(Path(root) / name).relative_to(folder).as_posix() for name in [*names, *links]}
    return found
