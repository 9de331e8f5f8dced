"""Measure an enhanced scan against a clean one, both as files of any intensity scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmenet.evaluation.metrics.measure import measure
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.intensity import normalise
from bmenet.imaging.scan import load_brain_mask, load_scan
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError

SCALE_PERCENTILE = 99.5


@dataclass(frozen=True)
class ScanMetrics:
    """Every metric, the intensity that was taken as 1, and what had to be assumed about the files."""

    metrics: dict[str, float]
    scale: float
    notes: tuple[str, ...]


def measure_scans(enhanced_path: Path, clean_path: Path, brain_mask_path: Path | None = None) -> ScanMetrics:
    """Measure an enhanced scan against a clean one on the same grid.

    Metrics need a data range of 1. A clean scan within [0, 1] is taken as it is; otherwise both scans are divided by
    the 99.5th percentile of the clean scan's foreground. No other intensity matching takes place.

    Parameters
    ----------
    enhanced_path, clean_path : Path
        NIfTI files or DICOM series.
    brain_mask_path : Path, optional
        NIfTI file, positive inside the brain; without it the brain that is found in the clean scan.

    Raises
    ------
    VolumeError
        If a file cannot be read or cannot be measured.
    GridMismatchError
        If the grids differ.
    """
    scans = {path: load_scan(path) for path in (enhanced_path, clean_path)}
    enhanced, clean = (scans[path].volume for path in (enhanced_path, clean_path))
    brain_mask, brain_notes = (
        _find_brain_mask(clean) if brain_mask_path is None else (load_brain_mask(brain_mask_path, clean.grid), ())
    )
    scale = 1.0 if clean.data.max() <= 1 else normalise(clean.data, SCALE_PERCENTILE)[1]
    metrics = measure(enhanced.with_data(enhanced.data / scale), clean.with_data(clean.data / scale), brain_mask)
    notes = tuple(f"{path}: {note}" for path, scan in scans.items() for note in scan.notes)
    return ScanMetrics(metrics, scale, (*notes, *(f"{clean_path}: {note}" for note in brain_notes)))


def _find_brain_mask(clean: Volume) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the brain of the clean scan, None where none was found; and what to tell about it."""
    try:
        brain = find_brain(clean)
    except VolumeError as error:
        return None, (f"{error}: the _brain metrics cover its whole foreground; give a mask (--mask) if that is wrong",)
    if brain.is_skull_stripped:
        return brain.brain_mask, ()
    return brain.brain_mask, (
        "a whole head: the _brain metrics cover the brain that was found in it (--mask gives another)",
    )
