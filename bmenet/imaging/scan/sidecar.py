"""The JSON beside a scan that we wrote: how it came about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmenet.imaging.scan.scan import Scan, save_scan, stem
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import read_json, write_json

Sidecar = dict[str, Any]


@dataclass(frozen=True)
class SidecarKind:
    """What a sidecar of this kind is beside, and the keys by which it is known to be ours."""

    scan: str
    keys: frozenset[str]

    def has(self, value: Any) -> bool:
        """Tell whether a JSON value is a sidecar of this kind, of any version."""
        return isinstance(value, dict) and self.keys <= value.keys()

    def check(self, out: Path) -> Sidecar | None:
        """Return the sidecar of an earlier scan that stands beside `out`, None if there is nothing.

        VolumeError if the JSON there is somebody else's (BIDS keeps a scan's acquisition in a file of this name), or no
        file can have its name.
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
        if not self.has(found):
            raise VolumeError(
                f"{path}: expected no file, or the sidecar of {self.scan}, which is replaced; got another one:"
                " choose another name for OUT"
            )
        return found

    def save(self, out: Path, scan: Scan, sidecar: Sidecar) -> None:
        """Save a scan, then its sidecar: at no moment does a sidecar stand beside a scan that it does not tell of.

        VolumeError if one of them cannot be written, or the place of the sidecar is taken: see `check`.
        """
        path = sidecar_path(out)
        try:
            if self.check(out) not in (None, sidecar):
                path.unlink(missing_ok=True)
            save_scan(out, scan)
            write_json(path, sidecar)
        except OSError as error:
            raise VolumeError(f"{path}: cannot be written ({error.strerror})") from error


DEGRADED = SidecarKind("a degraded scan", frozenset({"format", "parameters"}))
ENHANCED = SidecarKind("an enhanced scan", frozenset({"format", "enhanced"}))


def sidecar_path(out: Path) -> Path:
    """Return the JSON beside a volume, where BIDS has it too."""
    return out.with_name(f"{stem(out)}.json")
