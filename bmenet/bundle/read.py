"""Open a bundle that nobody vouches for: every path, link and checksum is checked before a file is used."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from bmenet.bundle.manifest import FORMAT_VERSION, MANIFEST_FILE, File, Manifest
from bmenet.errors import WeightsError
from bmenet.files import sha256

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
        the bundle, is a link or is not what its checksum says; or if the bundle holds a file that it does not name.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    try:
        with open(_regular(path), "rb") as handle:
            content = handle.read(_MAX_MANIFEST_BYTES + 1)
        digest = sha256(path)
    except OSError as error:
        raise WeightsError(
            f"{path}: expected a bundle's description; {error.strerror or error}; write a bundle with `bmenet export`"
        ) from error
    manifest = _parse(path, content)
    for name, file in manifest.files.items():
        _check_file(folder, name, file)
    graphs = {graph.path for by_name in manifest.graphs.values() for graph in by_name.values()}
    if missing := sorted(graphs - set(manifest.files)):
        raise WeightsError(f"{path}: expected a checksum of every graph; got none of {missing}; export it again")
    if unknown := sorted(_files(folder) - set(manifest.files) - {MANIFEST_FILE}):
        raise WeightsError(
            f"{folder}: expected only the files that {MANIFEST_FILE} names; got {', '.join(unknown[:3])} too; remove it"
            " or export the bundle again"
        )
    return Bundle(folder, manifest, digest)


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


def _check_file(folder: Path, name: str, file: File) -> None:
    """Check where a file lies, that neither it nor a folder on the way is a link, and what it holds."""
    place = PurePosixPath(name)
    is_plain = not place.is_absolute() and place.parts and not {"..", "."} & set(name.split("/")) and "\\" not in name
    if not is_plain or "\0" in name or place.as_posix() != name:
        raise WeightsError(f"{folder / MANIFEST_FILE}: expected paths inside the bundle; got {name!r}; do not use it")
    path = folder
    try:
        for part in place.parts[:-1]:
            path /= part
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise WeightsError(f"{path}: expected a folder; got a link or something else; copy the bundle again")
        size = _regular(path / place.name).stat().st_size
        digest = sha256(path / place.name) if size == file.bytes else None
    except OSError as error:
        raise WeightsError(
            f"{folder / name}: expected a file of the bundle; {error.strerror or error}; copy or export it again"
        ) from error
    if digest != file.sha256:
        got = f"SHA-256 {digest}" if digest else f"{size} bytes"
        expected = f"SHA-256 {file.sha256}" if digest else f"{file.bytes} bytes"
        raise WeightsError(
            f"{folder / name}: expected {expected}; got {got}; the file is damaged or was replaced: copy or export the"
            " bundle again"
        )


def _regular(path: Path) -> Path:
    """Return the path of a regular file; a link or a device is none."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(0, "it is a link, a folder or a device, not a file")
    return path


def _files(folder: Path) -> set[str]:
    """Return every file, link or device below a folder, relative to it; links are not followed."""
    found: set[str] = set()
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found |= {(Path(root) / name).relative_to(folder).as_posix() for name in [*names, *links]}
    return found
