"""Measure scans as files: one, or one before and after an enhancement."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmenet.evaluation.quality.measure import Quality, measure_quality
from bmenet.evaluation.quality.regions import find_tissues
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.scan import load_scan

STEPS = ("load", "find the brain", "segment the tissues", "measure")

_ALIKE = 0.9
_SAME_SPACING = 0.01


@dataclass(frozen=True)
class ScanQuality:
    """The quality of a scan, and what it was measured on.

    Parameters
    ----------
    quality : Quality
    is_skull_stripped : bool
    brain_litres : float
    spacing_mm : tuple of float
        Voxel edges, sorted.
    notes : tuple of str
        What the reader had to assume, one sentence each, to be shown to the user.
    """

    quality: Quality
    is_skull_stripped: bool
    brain_litres: float
    spacing_mm: tuple[float, ...]
    notes: tuple[str, ...]


def measure_scan(path: Path, device: str = "cpu", on_step: Callable[[str], None] = lambda step: None) -> ScanQuality:
    """Measure one scan by itself: its brain and its tissues are found in it, never in another.

    So the figures of a scan are the same whatever it is compared with, and the two scans of a pair may lie on
    different grids. Regions of the enhanced scan would suit the enhanced scan better, and the reverse.

    Parameters
    ----------
    path : Path
        NIfTI file or DICOM series.
    device : str
        ``cpu`` or ``cuda``.
    on_step : callable
        Told the name of each of `STEPS` as it begins.

    Raises
    ------
    VolumeError
        If the file cannot be read, or no brain is found in it.
    """
    on_step("load")
    scan = load_scan(path)
    on_step("find the brain")
    brain = find_brain(scan.volume, device)
    on_step("segment the tissues")
    tissues = find_tissues(scan.volume, brain.brain_mask)
    on_step("measure")
    quality = measure_quality(scan.volume, brain, tissues)
    litres = np.count_nonzero(brain.brain_mask) * abs(np.linalg.det(scan.volume.affine[:3, :3])) / 1e6
    notes = tuple(f"{path}: {note}" for note in scan.notes)
    spacing_mm = tuple(sorted(scan.volume.grid.spacing_mm))
    return ScanQuality(quality, brain.is_skull_stripped, float(litres), spacing_mm, notes)


def compare(before: ScanQuality, after: ScanQuality) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """Return after minus before, None where either is undefined; and what makes the two hard to compare."""
    pairs = zip(before.quality.values.items(), after.quality.values.values(), strict=True)
    changes = {name: None if old is None or new is None else new - old for (name, old), new in pairs}
    notes = []
    if before.is_skull_stripped != after.is_skull_stripped:
        notes.append("one scan is a whole head and the other skull-stripped: their differences may come from that")
    if not np.allclose(before.spacing_mm, after.spacing_mm, rtol=_SAME_SPACING):
        notes.append("the voxels differ in size: a coarser grid averages noise, and differences may come from that")
    smaller, larger = sorted((before.brain_litres, after.brain_litres))
    if smaller < _ALIKE * larger:
        notes.append(
            f"the brains found differ in size ({before.brain_litres:.2f} l before, {after.brain_litres:.2f} l after): "
            "differences may come from that"
        )
    return changes, tuple(notes)
