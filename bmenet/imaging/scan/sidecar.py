"""A degraded scan on disk with the sidecar that can make it again; nobody else's JSON is touched."""

from pathlib import Path
from typing import Any

from bmenet.imaging.scan.scan import Scan, save_scan
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import read_json, write_json

SIDECAR_FORMAT = 1

Sidecar = dict[str, Any]
"""``format``, ``code``, ``seed``, ``preset``, ``clean_sha256``, ``intensity_scale`` and ``parameters``."""


def sidecar_path(out: Path) -> Path:
    """Return the JSON beside a NIfTI file, where BIDS has it too."""
    return out.with_name(out.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def check_sidecar(out: Path) -> Sidecar | None:
    """Return the sidecar of an earlier degraded scan that stands beside `out`, None if there is nothing.

    Raises
    ------
    VolumeError
        If the JSON there is somebody else's (BIDS keeps a scan's acquisition in a file of this name), or no file can
        have its name.
    """
    path = sidecar_path(out)
    try:
        found = read_json(path)
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    except OSError as error:
        raise VolumeError(f"{path}: the sidecar cannot be written ({error.strerror})") from error
    if not _is_ours(found):
        raise VolumeError(
            f"{path}: expected no file, or the sidecar of a degraded scan, which is replaced; got another one:"
            " choose another name for OUT"
        )
    return found


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar to make its degraded scan again.

    Raises
    ------
    VolumeError
        If it is no sidecar of a degraded scan, or of a format that this version does not know.
    """
    try:
        sidecar = read_json(path)
    except ValueError as error:
        raise VolumeError(f"{path}: expected the sidecar of a degraded scan; got no JSON ({error})") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    if not _is_ours(sidecar) or "clean_sha256" not in sidecar:
        raise VolumeError(
            f"{path}: expected the sidecar of a degraded scan, with format, parameters and clean_sha256; got another"
            " file, or one of an older version"
        )
    if sidecar["format"] != SIDECAR_FORMAT:
        raise VolumeError(f"{path}: expected sidecar format {SIDECAR_FORMAT}; got {sidecar['format']!r}")
    return sidecar


def save_degraded(out: Path, degraded: Scan, sidecar: Sidecar) -> None:
    """Save a degraded scan, then its sidecar: at no moment does a sidecar stand beside a scan that it does not make.

    Raises
    ------
    VolumeError
        If one of them cannot be written, or the place of the sidecar is taken: see `check_sidecar`.
    """
    path = sidecar_path(out)
    try:
        if check_sidecar(out) not in (None, sidecar):
            path.unlink()
        save_scan(out, degraded)
        write_json(path, sidecar)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be written ({error.strerror})") from error


def _is_ours(value: Any) -> bool:
    """Tell whether a JSON value is the sidecar of a degraded scan, of any version."""
    return isinstance(value, dict) and {"format", "parameters"} <= value.keys()
