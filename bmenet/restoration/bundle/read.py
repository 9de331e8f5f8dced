"""Open a bundle of unknown origin: every path, link and checksum is checked before a file is used."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import ValidationError

from bmenet.config import CoarseConfig
from bmenet.networks.coarse import COARSE
from bmenet.networks.weights import FORMER_NAMES, SPEC_FILE
from bmenet.restoration.bundle.manifest import FORMAT_VERSION, MANIFEST_FILE, Manifest
from bmenet.runtime.errors import WeightsError

if TYPE_CHECKING:
    import onnx

_MAX_MANIFEST_BYTES = 1 << 22
_PLACES = ("", "artifacts/*/")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its manifest says.

    Its digest is the SHA-256 of ``bundle.json``, which holds the checksums of all other files: it names the whole.
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
    def has_field(self) -> bool:
        """Whether its first stage has a field network."""
        return self.manifest.field is not None

    @property
    def total_bytes(self) -> int:
        """Size of all files but ``bundle.json``."""
        return sum(file.bytes for file in self.manifest.files.values())

    def check(self, name: str) -> None:
        """Compare a file with its size and checksum; WeightsError if it differs, or cannot be read."""
        try:
            with open(self.folder / name, "rb") as handle:
                self._compare(name, handle)
        except OSError as error:
            raise _unreadable(self.folder / name, error) from error

    def read(self, name: str) -> bytes:
        """Return the content of a file, read once and checked, see `check`: no other is used than was checked."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise _unreadable(self.folder / name, error) from error
        self._compare(name, BytesIO(content))
        return content

    def spec(self, kind: str) -> dict[str, Any]:
        """Return the ``model.json`` of a network, checked; WeightsError if the bundle has none."""
        names = [f"weights/{name}/{SPEC_FILE}" for name in (kind, FORMER_NAMES.get(kind, kind))]
        for name in names:
            if name in self.manifest.files:
                return json.loads(self.read(name))
        raise WeightsError(f"bundle: expected {names[0]}; got none; export it again")

    def read_graph(self, name: str) -> bytes:
        """Return an ONNX graph, after a check of the graph and of the files that hold its external data.

        Raises
        ------
        WeightsError
            See `check`; or if it is no ONNX graph, or its external data lie in a file that the bundle does not name.
        """
        import onnx

        content = self.read(name)
        try:
            model = onnx.load_model_from_string(content)
        except Exception as error:  # protobuf's own kinds
            raise WeightsError(
                f"{name}: expected an ONNX graph; got something else; export the bundle again"
            ) from error
        entries = [entry for tensor in _tensors(model) for entry in tensor.external_data]
        for location in {entry.value for entry in entries if entry.key == "location"}:
            outside = (PurePosixPath(name).parent / location).as_posix()
            if outside not in self.manifest.files:
                raise WeightsError(f"{name}: expected weights in a file of the bundle; got {location!r}; do not use it")
            self.check(outside)
        return content

    def _compare(self, name: str, stream: BinaryIO) -> None:
        file, size = self.manifest.files[name], stream.seek(0, os.SEEK_END)
        expected, got = f"{file.bytes} bytes", f"{size} bytes"
        if size == file.bytes:
            stream.seek(0)
            expected = f"SHA-256 {file.sha256}"
            got = f"SHA-256 {hashlib.file_digest(stream, 'sha256').hexdigest()}"  # type: ignore[arg-type]
        if expected != got:
            raise WeightsError(
                f"{self.folder / name}: expected {expected}; got {got}; the file is damaged or was replaced: copy or"
                " export the bundle again"
            )


def open_bundle(folder: Path | str) -> Bundle:
    """Check a bundle and return it; nothing in it is loaded, and nothing runs.

    Raises
    ------
    WeightsError
        If ``bundle.json`` is missing, of another format or not valid; if the bundle holds a link, a device or a file
        that ``bundle.json`` does not name; if a named file is missing, lies outside the bundle or differs from its
        checksum; or if the settings differ from those that the weights were trained with.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    files = _plain_files(folder)
    if MANIFEST_FILE not in files:
        raise WeightsError(f"{path}: expected a bundle's description; got none; write a bundle with `bmenet export`")
    try:
        with open(path, "rb") as handle:
            content = handle.read(_MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    manifest = _parse(path, content)
    if missing := sorted(set(manifest.files) - files):
        raise WeightsError(
            f"{path}: expected names of files inside the bundle; got {missing[0]!r}, which is no file there; copy or"
            " export the bundle again"
        )
    if unknown := sorted(files - set(manifest.files) - {MANIFEST_FILE}):
        raise WeightsError(
            f"{folder}: expected only the files that {MANIFEST_FILE} names; got {', '.join(unknown[:3])} too; remove it"
            " or export the bundle again"
        )
    bundle = Bundle(folder, manifest, hashlib.sha256(content).hexdigest())
    for name in manifest.files:
        bundle.check(name)
    _check_agreement(bundle)
    return bundle


def find_bundle(folder: Path) -> Path | None:
    """Return where a bundle lies, unopened: in a folder, or in the artifacts of a registered model; None if nowhere."""
    found = (path for place in _PLACES for path in sorted(folder.glob(f"{place}{MANIFEST_FILE}")))
    return next((path.parent for path in found), None)


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


def _plain_files(folder: Path) -> set[str]:
    """Return every file below a folder, relative to it; refuse links, pipes and devices unopened."""
    found = set()
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found.add(path.relative_to(folder).as_posix())
        elif not stat.S_ISDIR(mode):
            raise WeightsError(f"{path}: expected a file or a folder; got a link, a pipe or a device; copy it again")
    return found


def _check_agreement(bundle: Bundle) -> None:
    """Compare ``bundle.json``, read by ONNX Runtime, with the networks' ``model.json``, read by torch."""
    manifest, fine = bundle.manifest, bundle.manifest.fine
    told: dict[str, dict[str, Any]] = {
        COARSE: {"config": manifest.coarse.model_dump(mode="json"), "spacing_mm": manifest.spacing_mm}
    }
    if manifest.field is not None:
        told["field"] = {"config": manifest.field.model_dump(mode="json")}
    elif f"weights/field/{SPEC_FILE}" in manifest.files:
        raise WeightsError(
            f"bundle: expected settings of the network in weights/field; got none in {MANIFEST_FILE}; export it again"
        )
    if fine is not None:
        told |= {
            "fine": {"reference_variance": fine.reference_variance, "max_timestep": fine.max_timestep},
            "denoiser": {"diffusion": fine.diffusion.model_dump(mode="json")},
            "autoencoder": {"scale": fine.latent_scale, "shift": fine.latent_shift},
        }
    for kind, values in told.items():
        own = bundle.spec(kind)
        if kind == COARSE:
            own = own | {"config": _with_defaults(own.get("config"))}
        if different := [key for key, value in values.items() if own.get(key) != value]:
            raise WeightsError(
                f"bundle: expected {different[0]} as in weights/{kind}/{SPEC_FILE}; got another one in {MANIFEST_FILE};"
                " export it again"
            )


def _with_defaults(config: Any) -> Any:
    """Return settings of a Coarse-net with the keys that came after it was trained; what are none as they are."""
    try:
        return CoarseConfig.model_validate_json(json.dumps(config)).model_dump(mode="json")
    except ValidationError:
        return config


def _tensors(message: Any) -> "Iterator[onnx.TensorProto]":
    """Yield the tensors of an ONNX message at any depth: also those of subgraphs, functions and sparse tensors."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: expected a readable file of the bundle; {error.strerror}; copy or export it again")
