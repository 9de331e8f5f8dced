"""Along which axis of a scan lines were encoded one after the other, where its DICOM or its BIDS sidecar tells it."""

import json
from pathlib import Path

import numpy as np
import pydicom

from bmenet.imaging.scan.scan import stem

_MOST_BYTES = 1 << 22
_ARRAY_AXES = {"i": 0, "j": 1, "k": 2}
_IN_PLANE = {"ROW": 0, "COL": 1, "COLUMN": 1}
"""DICOM's words to the axis of a converted slice: dcm2niix and dicom2nifti leave rows along the first axis."""

_KEYS = ("PhaseEncodingDirection", "PhaseEncodingAxis", "InPlanePhaseEncodingDirectionDICOM")


def axis_in_sidecar(scan: Path) -> tuple[int | None, tuple[str, ...]]:
    """Return the axis of the array that the BIDS sidecar beside a scan tells, if there is one, and notes for the user.

    ``PhaseEncodingDirection`` counts first, then what dcm2niix writes where it does not know the polarity.
    """
    path = scan.with_name(f"{stem(scan)}.json")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("too long for a sidecar")
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        return None, ()
    except (OSError, ValueError, RecursionError) as error:
        return None, (f"the sidecar {path.name} cannot be read ({error}): nothing in it is taken into account",)
    for key in _KEYS:
        if key not in told:
            continue
        word = str(told[key])
        axis = _IN_PLANE.get(word) if key == _KEYS[-1] else _ARRAY_AXES.get(word.removesuffix("-"))
        if axis is not None:
            return axis, ()
        return None, (f"the sidecar's {key} is {word[:20]!r}, which is no axis: it is looked for in the scan",)
    return None, ()


def axis_in_dicom(slices: list[pydicom.Dataset], affine: np.ndarray) -> int | None:
    """Return the axis of the array along which a series says that its slices were phase encoded; None if it does not.

    Parameters
    ----------
    slices : list of Dataset
        With ``InPlanePhaseEncodingDirection`` (0018,1312), which the same value of all makes valid.
    affine : ndarray, shape (4, 4)
        Of the array that they became, to RAS+ mm.
    """
    words = {str(one.get("InPlanePhaseEncodingDirection") or "").strip().upper() for one in slices}
    if len(words) != 1 or (axis := _IN_PLANE.get(words.pop())) is None:
        return None
    orientation = np.array(slices[0].ImageOrientationPatient, dtype=float)
    # Along a row lies the first triple; DICOM's axes run to the left and to the back.
    direction = orientation[3 * axis : 3 * axis + 3] * (-1, -1, 1)
    return int(np.argmax(np.abs(direction @ affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)))
