"""Along which axis of a scan lines were encoded one after the other, where its DICOM or its BIDS sidecar tells it."""

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bmenet.imaging.scan.sidecar import sidecar_path

if TYPE_CHECKING:
    import pydicom

_MOST_BYTES = 1 << 22
_ARRAY_AXES = {"i": 0, "j": 1, "k": 2}
_KEYS = ("PhaseEncodingDirection", "PhaseEncodingAxis")
_IN_PLANE = {"ROW": 0, "COL": 1, "COLUMN": 1}
"""DICOM's words to which half of an image orientation they mean."""


def axis_in_sidecar(scan: Path, affine: np.ndarray) -> tuple[int | None, tuple[str, ...]]:
    """Return the axis of the array that the JSON of a scan's name tells, if there is one, and notes for the user.

    What dcm2niix kept of DICOM counts first, ``InPlanePhaseEncodingDirectionDICOM`` along
    ``ImageOrientationPatientDICOM``, for it holds however the array was turned since; then ``PhaseEncodingDirection``
    and ``PhaseEncodingAxis``. Notes quote nothing of the file, not even its name.

    Parameters
    ----------
    scan : Path
    affine : ndarray, shape (4, 4)
        Of the scan's array, to RAS+ mm.
    """
    path = sidecar_path(scan)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None, ("what has the name of the scan's sidecar is no file: nothing is read from it",)
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return None, (f"the sidecar beside the scan cannot be read ({error.strerror})",)
    try:
        told = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return None, ("the sidecar beside the scan is no JSON object of a sidecar's size: nothing in it counts",)
    in_plane = _in_plane(told.get("InPlanePhaseEncodingDirectionDICOM"))
    if (
        in_plane is not None
        and (axis := _along(told.get("ImageOrientationPatientDICOM"), in_plane, affine)) is not None
    ):
        return axis, ()
    words = [told[key] for key in _KEYS if key in told]
    for word in words:
        if isinstance(word, str) and (axis := _ARRAY_AXES.get(word.removesuffix("-"))) is not None:
            return axis, ()
    notes = ("the sidecar beside the scan tells a phase-encode direction that is none of i, j and k",) if words else ()
    return None, notes


def axis_in_dicom(slices: "list[pydicom.Dataset]", affine: np.ndarray) -> int | None:
    """Return the axis of the array along which a series says that its slices were phase encoded; None if it does not.

    Parameters
    ----------
    slices : list of Dataset
        With ``InPlanePhaseEncodingDirection`` (0018,1312), which the same value of all makes valid.
    affine : ndarray, shape (4, 4)
        Of the array that they became, to RAS+ mm.
    """
    words = {str(one.get("InPlanePhaseEncodingDirection") or "") for one in slices}
    in_plane = _in_plane(words.pop()) if len(words) == 1 else None
    return None if in_plane is None else _along(slices[0].ImageOrientationPatient, in_plane, affine)


def _in_plane(word: Any) -> int | None:
    return _IN_PLANE.get(str(word).strip().upper())


def _along(orientation: Any, in_plane: int, affine: np.ndarray) -> int | None:
    """Return the axis of the array nearest to the rows (0) or columns (1) of slices that lie as DICOM says."""
    try:
        numbers = np.array(orientation, dtype=float)
    except (TypeError, ValueError):
        return None
    if numbers.shape != (6,) or not np.isfinite(numbers).all():
        return None
    direction = numbers[3 * in_plane : 3 * in_plane + 3] * (-1, -1, 1)  # DICOM's axes run to the left and to the back
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return int(np.argmax(np.abs(direction @ axes))) if direction.any() else None
