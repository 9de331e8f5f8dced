"""Compare two files on disk: an enhanced scan with the clean one, or two label volumes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bmenet.evaluation.metrics.measure import measure
from bmenet.evaluation.segmentation.labels import LabelVolume, freesurfer_names, freesurfer_regions, load_labels
from bmenet.evaluation.tissue import label_dice, label_sizes, region_dice
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import Grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import load_brain_mask, load_scan
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError

_SCALE_PERCENTILE = 99.5

_LEAST_COVERAGE = 0.9
"""Share of the labelled voxels of each that must lie in the field of view of the other."""

_LEAST_FREESURFER_LABEL = 10
"""Maps of tissues number them from 1: labels that all lie below this say nothing of FreeSurfer."""

_MOST_UNKNOWN = 0.1
"""Share of the labelled voxels that may have numbers which are not in the table of FreeSurfer's."""

Labelling = Literal["auto", "freesurfer", "none"]
"""Whose numbers the labels are."""


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
        If a file cannot be read or cannot be measured; GridMismatchError if the grids differ.
    """
    scans = {path: load_scan(path) for path in (enhanced_path, clean_path)}
    enhanced, clean = (scans[path].volume for path in (enhanced_path, clean_path))
    beyond = scans[enhanced_path].offset - scans[clean_path].offset  # an error like any other
    enhanced = enhanced.with_data(enhanced.data + np.float32(beyond))
    brain_mask, brain_notes = (
        _find_brain_mask(clean) if brain_mask_path is None else (load_brain_mask(brain_mask_path, clean.grid), ())
    )
    scale = 1.0 if clean.data.max() <= 1 else normalise(clean.data, _SCALE_PERCENTILE)[1]
    metrics = measure(enhanced.with_data(enhanced.data / scale), clean.with_data(clean.data / scale), brain_mask)
    notes = tuple(f"{path}: {note}" for path, scan in scans.items() for note in scan.notes)
    return ScanMetrics(metrics, scale, (*notes, *(f"{clean_path}: {note}" for note in brain_notes)))


@dataclass(frozen=True)
class LabelOverlap:
    """How far a segmentation overlaps with a reference.

    Parameters
    ----------
    mean_label_dice : float
        Mean of `labels`.
    regions, names : dict
        FreeSurfer's regions that the reference has to their Dice overlap, and its names of the labels; empty for
        labels of another kind.
    labels : dict
        Labels above 0 that the reference has to their Dice overlap, in [0, 1].
    volumes_ml : dict
        Label to its volume in the segmentation, and in the reference.
    missing_in_reference : tuple of int
        Labels that only the segmentation has: they have no overlap and are not in the mean.
    notes : tuple of str
        What had to be assumed about the files.
    """

    mean_label_dice: float
    regions: dict[str, float]
    labels: dict[int, float]
    names: dict[int, str]
    volumes_ml: dict[int, tuple[float, float]]
    missing_in_reference: tuple[int, ...]
    notes: tuple[str, ...]


def compare_label_files(path: Path, reference_path: Path, labelling: Labelling = "auto") -> LabelOverlap:
    """Compare two label volumes, the first brought to the grid of the second where they differ.

    Parameters
    ----------
    path, reference_path : Path
        NIfTI, .mgz or .mgh.
    labelling : {"auto", "freesurfer", "none"}
        ``auto`` takes the labels for FreeSurfer's if its table has those of nine tenths of the reference's voxels, and
        one of them is at least 10: maps of tissues, and other atlases, then have no regions.

    Raises
    ------
    VolumeError
        If a file is not one readable volume of labels, or the reference has none above 0.
    GridMismatchError
        If either leaves over a tenth of its labelled voxels outside the field of view of the other.
    """
    loaded = {name: load_labels(name) for name in (path, reference_path)}
    notes = [f"{name}: {note}" for name, volume in loaded.items() for note in volume.notes]
    moving, reference = loaded[path], loaded[reference_path]
    if not reference.labels.any():
        raise VolumeError(f"{reference_path}: expected labels above 0 in the reference; got background alone")
    if not moving.labels.any():
        notes.append(f"{path}: background alone: every label scores 0")
    if not moving.grid.same_as(reference.grid):
        moving = _bring(moving, reference, path, reference_path)
        notes.append(f"{path}: on another grid than {reference_path}: taken there by nearest neighbours")
    sizes, reference_sizes = label_sizes(moving.labels), label_sizes(reference.labels)
    is_freesurfer, reason = _is_freesurfer(reference_sizes, labelling)
    notes += [f"{reference_path}: {reason}"] if reason else []
    voxel_ml = abs(float(np.linalg.det(reference.affine[:3, :3]))) / 1000
    overlaps = label_dice(moving.labels, reference.labels)
    return LabelOverlap(
        float(np.mean(list(overlaps.values()))),
        region_dice(moving.labels, reference.labels, freesurfer_regions()) if is_freesurfer else {},
        overlaps,
        {label: name for label, name in freesurfer_names().items() if is_freesurfer and label in reference_sizes},
        {label: (sizes.get(label, 0) * voxel_ml, size * voxel_ml) for label, size in reference_sizes.items()},
        tuple(sorted(sizes.keys() - reference_sizes.keys())),
        tuple(notes),
    )


def _find_brain_mask(clean: Volume) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the brain of the clean scan, None where none was found; and what to tell about it."""
    try:
        brain = find_brain(clean)
    except VolumeError as error:
        return None, (f"{error}: the _brain metrics cover its whole foreground; give a mask (--mask) if that is wrong",)
    note = "a whole head: the _brain metrics cover the brain that was found in it (--mask gives another)"
    return brain.brain_mask, () if brain.is_skull_stripped else (note,)


def _is_freesurfer(sizes: Mapping[int, int], labelling: Labelling) -> tuple[bool, str]:
    """Tell whether labels, with their voxel counts, are FreeSurfer's, and what to tell the user about that."""
    if labelling == "none":
        return False, ""
    unknown = sorted(sizes.keys() - freesurfer_names().keys())
    unknown_share = sum(sizes[label] for label in unknown) / sum(sizes.values())
    in_no_region = f"labels {_listed(unknown)} ({unknown_share:.1%} of the voxels) are in no region" if unknown else ""
    if labelling == "freesurfer":
        return True, in_no_region
    if unknown_share > _MOST_UNKNOWN:
        return False, f"labels {_listed(unknown)} are not in the table of FreeSurfer's labels: no regions"
    if max(sizes) < _LEAST_FREESURFER_LABEL:
        return False, f"labels {_listed(sorted(sizes))} could be anything: no regions"
    return True, in_no_region


def _listed(labels: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, labels[:most]))
    return f"{shown} and {len(labels) - most} more" if len(labels) > most else shown


def _bring(moving: LabelVolume, reference: LabelVolume, path: Path, reference_path: Path) -> LabelVolume:
    """Return the labels on the grid of the reference, if that shows the same part of the body."""
    coverage = {path: _coverage(moving, reference.grid), reference_path: _coverage(reference, moving.grid)}
    least = min(coverage, key=lambda name: coverage[name])
    if coverage[least] < _LEAST_COVERAGE:
        raise GridMismatchError(
            f"{path} and {reference_path}: expected one space, with at least {_LEAST_COVERAGE:.0%} of the labelled "
            f"voxels of each in the field of view of the other; got {coverage[least]:.0%} of {least}; register them "
            "first"
        )
    brought = resample(Volume(moving.labels.astype(np.float32), moving.affine), reference.grid, order=0)
    return replace(moving, labels=np.rint(brought.data).astype(np.int32), affine=reference.affine)


def _coverage(volume: LabelVolume, grid: Grid) -> float:
    """Return the share of the labelled voxels whose centre lies within a grid; 1 if there are none."""
    labelled = np.argwhere(volume.labels)
    if not labelled.size:
        return 1.0
    to_index = np.linalg.inv(grid.affine) @ volume.affine
    index = labelled @ to_index[:3, :3].T + to_index[:3, 3]
    inside = (index >= -0.5) & (index <= np.asarray(grid.shape) - 0.5)
    return float(np.mean(inside.all(axis=1)))
