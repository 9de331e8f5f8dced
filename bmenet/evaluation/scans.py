"""Measure an enhanced scan against a clean one, both as files of any intensity scale."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.errors import GridMismatchError, VolumeError
from bmenet.grid import Grid
from bmenet.intensity import normalise
from bmenet.metrics.measure import measure
from bmenet.scan import load_scan

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
        NIfTI file, positive inside the brain; without it the clean scan must be skull-stripped.

    Raises
    ------
    VolumeError
        If a file cannot be read or cannot be measured.
    GridMismatchError
        If the grids differ.
    """
    scans = {path: load_scan(path) for path in (enhanced_path, clean_path)}
    enhanced, clean = (scans[path].volume for path in (enhanced_path, clean_path))
    brain_mask = None if brain_mask_path is None else _load_mask(brain_mask_path, clean.grid)
    scale = 1.0 if clean.data.max() <= 1 else normalise(clean.data, SCALE_PERCENTILE)[1]
    metrics = measure(enhanced.with_data(enhanced.data / scale), clean.with_data(clean.data / scale), brain_mask)
    notes = tuple(f"{path}: {note}" for path, scan in scans.items() for note in scan.notes)
    return ScanMetrics(metrics, scale, notes)


def _load_mask(path: Path, grid: Grid) -> np.ndarray:
    """Load a brain mask that lies on `grid`."""
    try:
        image = nib.load(path)
        inside = np.asanyarray(image.dataobj) > 0  # type: ignore[attr-defined]
        affine = image.affine  # type: ignore[attr-defined]
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise VolumeError(f"{path}: expected a brain mask as NIfTI; it cannot be read ({error})") from error
    if inside.shape != grid.shape or not np.allclose(affine, grid.affine, atol=1e-3):
        raise GridMismatchError(
            f"{path}: expected the clean scan's grid, shape {grid.shape}; got shape {inside.shape} or another affine"
        )
    return inside
