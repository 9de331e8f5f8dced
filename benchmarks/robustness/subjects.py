"""The clean scans that are degraded: as registered, of another contrast or anatomy, on native grids, whole heads."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.robustness.variants import with_close_tissues, with_gamma, with_wide_ventricles
from bmenet.data.layout import Layout
from bmenet.data.participants import read_table
from bmenet.imaging.brain import bounding_box
from bmenet.imaging.brain_extraction import extract_brain, find_brain
from bmenet.imaging.grid import Grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume
from bmenet.runtime.errors import VolumeError

Kind = Literal["registered", "native", "head"]
_MARGIN_MM = 15.0
_SCALE_PERCENTILE = 99.5


@dataclass(frozen=True)
class Variant:
    """A kind of clean scan.

    Parameters
    ----------
    title : str
        For readers; empty for the scan as it is.
    kind : {"registered", "native", "head"}
        On the standard grid, on a grid of its own, or a whole head on its own grid.
    change : callable, optional
        (clean, brain_mask) to another clean scan.
    spacing_mm : float, optional
        Native: of the voxels, instead of the scan's own.
    is_stripped_late : bool
        Whether the background is cut off after the scan was degraded.
    """

    title: str
    kind: Kind = "registered"
    change: Callable[[Volume, np.ndarray], Volume] | None = None
    spacing_mm: float | None = None
    is_stripped_late: bool = False


PLAIN = "plain"
VARIANTS: dict[str, Variant] = {
    PLAIN: Variant(""),
    "gamma_0.6": Variant("gamma 0.6", change=lambda clean, _mask: with_gamma(clean, 0.6)),
    "gamma_1.5": Variant("gamma 1.5", change=lambda clean, _mask: with_gamma(clean, 1.5)),
    "close_tissues": Variant("grey close to white", change=lambda clean, _mask: with_close_tissues(clean)),
    "wide_ventricles": Variant("ventricles 4 mm wider", change=lambda c, mask: with_wide_ventricles(c, mask, 4.0)),
    "stripped_late": Variant("stripped afterwards", is_stripped_late=True),
    "native": Variant("own grid", "native"),
    "native_0.7": Variant("0.7 mm grid", "native", spacing_mm=0.7),
    "native_2": Variant("2 mm grid", "native", spacing_mm=2.0),
    "head": Variant("whole head", "head"),
}


@dataclass(frozen=True)
class Subject:
    """A clean scan in unit intensities, and the brain in which results are measured."""

    clean: Volume
    brain_mask: np.ndarray


def source_path(subject: str, variant: Variant, layout: Layout) -> Path:
    """Return the file that a clean scan comes from; of a whole head, `subject` is its path."""
    if variant.kind == "registered":
        return layout.clean(subject)
    if variant.kind == "head":
        return Path(subject)
    files = {scan.id: scan.file for scan in read_table(layout)}
    if subject not in files:
        raise VolumeError(f"{subject}: expected its scan in {layout.raw}; got none; run the stage fetch")
    return layout.raw / files[subject]


def mask_path(subject: str, variant: Variant, layout: Layout) -> Path | None:
    """Return the file of the brain mask; None where the brain is found in the scan itself."""
    return layout.brain_mask(subject) if variant.kind == "registered" else None


def load_subject(path: Path, brain_mask_path: Path | None, variant: Variant) -> Subject:
    """Return the clean scan of a variant, from the files that `source_path` and `mask_path` name."""
    if brain_mask_path is not None:
        subject = Subject(load_unit_volume(path), load_mask(brain_mask_path))
    elif variant.kind == "head":
        subject = _whole_head(path)
    else:
        subject = _native(path, variant.spacing_mm)
    if variant.change is None:
        return subject
    return Subject(variant.change(subject.clean, subject.brain_mask), subject.brain_mask)


def _whole_head(path: Path) -> Subject:
    """Return a head with the brain in [0, 1]; fat and vessels outshine it."""
    volume = load_scan(path).volume
    head = volume.with_data(np.maximum(volume.data, 0))
    brain_mask = extract_brain(head)
    scale = np.percentile(head.data[brain_mask], _SCALE_PERCENTILE)
    return Subject(head.with_data(head.data / scale), brain_mask)


def _native(path: Path, spacing_mm: float | None) -> Subject:
    """Return the brain of a raw scan, on its own grid or one of cubes turned as it is, with some air around."""
    volume = load_scan(path).volume
    brain_mask = find_brain(volume).brain_mask
    brain = volume.with_data(np.maximum(volume.data, 0) * brain_mask)
    grid = _close_grid(brain, brain_mask, spacing_mm)
    unit_data, _ = normalise(np.maximum(resample(brain, grid).data, 0), _SCALE_PERCENTILE)
    inside = resample(brain.with_data(brain_mask), grid, order=1).data > 0.5
    return Subject(Volume(np.where(inside, unit_data, 0).astype(np.float32), grid.affine), inside)


def _close_grid(brain: Volume, brain_mask: np.ndarray, spacing_mm: float | None) -> Grid:
    """Return a grid that holds the brain and 15 mm around it."""
    widths = np.asarray(brain.grid.spacing_mm)
    wanted = widths if spacing_mm is None else np.full(3, spacing_mm)
    box = bounding_box(brain_mask)
    first = np.array([span.start for span in box]) - np.rint(_MARGIN_MM / widths)
    end = np.array([span.stop for span in box]) + np.rint(_MARGIN_MM / widths)
    x, y, z = (int(extent) for extent in np.rint((end - first) * widths / wanted))
    affine = brain.affine.copy()
    affine[:3, :3] *= wanted / widths
    corner = first if spacing_mm is None else first - 0.5 + 0.5 * wanted / widths
    affine[:3, 3] = brain.affine[:3, :3] @ corner + brain.affine[:3, 3]
    return Grid((x, y, z), affine)
