"""The result of one method on one case, and its file."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmenet.runtime.files import atomic_path


@dataclass(frozen=True)
class Result:
    """What a method made of one case.

    Parameters
    ----------
    subject, code, method : str
    metrics : dict
        Every metric in `METRICS`.
    seconds : float
        CPU time of the restoration: what one thread of an idle machine takes.
    shown_slices : dict
        Plane to the 2D slice of the restored volume that figures show.
    """

    subject: str
    code: str
    method: str
    metrics: dict[str, float]
    seconds: float
    shown_slices: dict[str, np.ndarray]


def save_result(path: Path, result: Result, key: str) -> None:
    """Write a result with the key that says what it was made from, atomically."""
    record = {name: getattr(result, name) for name in ("subject", "code", "method", "metrics", "seconds")}
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, allow_pickle=False, record=json.dumps(record | {"key": key}), **result.shown_slices
        )


def load_result(path: Path, key: str) -> Result | None:
    """Read a result that was made from what `key` says; None if there is none."""
    try:
        with np.load(path) as file:
            arrays = dict(file)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
        return None
    record = json.loads(str(arrays.pop("record")))
    return Result(**record, shown_slices=arrays) if record.pop("key") == key else None
