"""The result of one method on one case, its file, and many of them as a table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from bmenet.data.layout import Layout
from bmenet.imaging.volume import UNIT_STEP, Volume
from bmenet.runtime.cache import CaseIndex
from bmenet.runtime.files import atomic_path

INPUT = "degraded"
"""The degraded volume as it is: what every restoration has to beat."""

_RECORD = ("subject", "code", "method", "metrics", "seconds")

Made = TypeVar("Made")


@dataclass(frozen=True)
class Result:
    """What a method made of one case.

    Parameters
    ----------
    metrics : dict
        Every metric in `METRICS`, and what was measured of tissues where they were segmented.
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


def save_result(path: Path, result: Result) -> None:
    """Write a result, atomically."""
    record = json.dumps({name: getattr(result, name) for name in _RECORD})
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, record=record, **result.shown_slices)


def load_result(path: Path) -> Result:
    """Read a result."""
    with np.load(path) as file:
        arrays = dict(file)
    return Result(**json.loads(str(arrays.pop("record"))), shown_slices=arrays)


def restored_path(subject: str, code: str, method: str, layout: Layout) -> Path:
    """Return where the volume of a method lies; of the degraded input, that input."""
    return layout.case_input(subject, code) if method == INPUT else layout.restored(subject, code, method)


def within_units(volume: Volume) -> Volume:
    """Cut what a file of unit intensities cannot hold: nothing that is tissue."""
    return volume.with_data(np.clip(volume.data, 0, np.iinfo(np.uint16).max * UNIT_STEP))


def kept_or_made(
    index: CaseIndex,
    path: Path,
    key: str,
    make: Callable[[], Made],
    save: Callable[[Path, Made], None],
    load: Callable[[Path], Made],
) -> Made:
    """Return what `path` keeps if it was made from what `key` says, or else make it and keep it there."""
    if index.holds(path.stem, key, path):
        return load(path)
    made = make()
    save(path, made)
    index.record(path.stem, key, path)
    return made


def results_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return a row a result: subject, code, method, each metric (NaN where it was not taken), seconds."""
    rows = [{"subject": r.subject, "code": r.code, "method": r.method} | r.metrics for r in results]
    return pd.DataFrame(rows).assign(seconds=[r.seconds for r in results])


def volumes_csv(table: pd.DataFrame) -> str:
    """Return `results_table` as CSV, with six digits; what was not measured is empty."""
    seconds = table["seconds"].map("{:.3f}".format)
    return table.assign(seconds=seconds).to_csv(index=False, float_format="%.6g", lineterminator="\n")
