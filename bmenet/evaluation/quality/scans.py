"""Measure one scan, or one before and after an enhancement; a new measure is a formula and a line in `MEASURES`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from bmenet.evaluation.quality.definitions import (
    Intensities,
    cjv,
    cnr,
    efc,
    find_air,
    find_blank,
    find_tissues,
    snr,
    snr_dietrich,
)
from bmenet.imaging.brain_extraction import Brain, find_brain
from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError

STEPS = ("load", "find the brain", "segment the tissues", "measure")

TISSUES = {"csf": 1, "gm": 2, "wm": 3}
"""Labels of the segmentation."""

STRIPPED = "skull-stripped: there is no air around the head in which noise and ghosts could be measured"
BLANK = "the air around the head is blank in this file, so that noise and ghosts cannot be measured in it"
NO_AIR = "too little air above the head is in the field of view"

_FEWEST_TISSUE_VOXELS = 100
_FEWEST_AIR_VOXELS = 1000
_ALIKE = 0.9
_SAME_SPACING = 0.01
_QUICK_MM = 2.0


class Undefined(Exception):
    """A measure has no value for this scan; the text says why."""


@dataclass(frozen=True)
class Regions:
    """A scan, not below 0, with the regions that formulas read; a region that tells nothing raises `Undefined`."""

    volume: Volume
    brain: Brain
    tissues: np.ndarray

    def __getitem__(self, tissue: str) -> Intensities:
        """Return the intensities of a tissue."""
        inside = self.volume.data[self.tissues == TISSUES[tissue]]
        if inside.size < _FEWEST_TISSUE_VOXELS:
            raise Undefined(
                f"expected at least {_FEWEST_TISSUE_VOXELS} voxels of {tissue.upper()}; found {inside.size}"
            )
        if inside.min() == inside.max():
            raise Undefined(f"{tissue.upper()} is {inside[0]:g} everywhere: no noise, or no image")
        return Intensities.of(inside)

    def over_tissues(self, formula: Callable[[Intensities], float]) -> float:
        """Return the mean of a formula over the three tissues."""
        return sum(formula(self[tissue]) for tissue in TISSUES) / len(TISSUES)

    @cached_property
    def air(self) -> Intensities:
        """The intensities of the air around the head."""
        if self.brain.is_skull_stripped:
            raise Undefined(STRIPPED)
        air = find_air(self.volume, self.brain.brain_mask)
        measured = air & ~self._blank
        if np.count_nonzero(measured) < _FEWEST_AIR_VOXELS:
            raise Undefined(NO_AIR if np.count_nonzero(air) < _FEWEST_AIR_VOXELS else BLANK)
        intensities = Intensities.of(self.volume.data[measured])
        if intensities.std == 0:
            raise Undefined(BLANK)
        return intensities

    @property
    def measured(self) -> np.ndarray:
        """Every voxel that holds a measurement, of a scan that has air."""
        assert self.air
        return self.volume.data[~self._blank]

    @cached_property
    def _blank(self) -> np.ndarray:
        return find_blank(self.volume.data)


@dataclass(frozen=True)
class Measure:
    """A measure of one scan, with one line for the reader of a table."""

    formula: Callable[[Regions], float]
    description: str
    lower_is_better: bool = False


def _cjv(regions: Regions) -> float:
    wm, gm = regions["wm"], regions["gm"]
    if wm.median == gm.median:
        raise Undefined("grey and white matter are equally bright")
    return cjv(wm, gm)


MEASURES: dict[str, Measure] = {
    "snr_csf": Measure(lambda regions: snr(regions["csf"]), "signal to spread within cerebrospinal fluid"),
    "snr_gm": Measure(
        lambda regions: snr(regions["gm"]),
        "signal to spread within grey matter: noise, bias field and blur between tissues lower it",
    ),
    "snr_wm": Measure(
        lambda regions: snr(regions["wm"]), "signal to spread within white matter: noise and bias field lower it"
    ),
    "snr_total": Measure(lambda regions: regions.over_tissues(snr), "mean of the three above"),
    "snrd_total": Measure(
        lambda regions: regions.over_tissues(partial(snr_dietrich, air=regions.air)),
        "signal of the three tissues to the noise in the air around the head (Dietrich)",
    ),
    "cnr": Measure(
        # The air first: where there is none, that is the reason to tell.
        lambda regions: cnr(air=regions.air, wm=regions["wm"], gm=regions["gm"]),
        "how far grey and white matter lie apart, in units of their spread and the air's",
    ),
    "cjv": Measure(_cjv, "spread of grey and white matter over their distance: noise and bias field raise it", True),
    "efc": Measure(
        lambda regions: efc(regions.measured),
        "entropy of all that was measured: ghosts and blur of motion raise it",
        True,
    ),
}


@dataclass(frozen=True)
class Quality:
    """Every name in `MEASURES` to its value, None where it is not defined for this scan, and for each None why."""

    values: dict[str, float | None]
    reasons: dict[str, str]


def measure_quality(volume: Volume, brain: Brain, tissues: np.ndarray) -> Quality:
    """Measure one scan by MRIQC's definitions, on the intensities as they are.

    The formulas are MRIQC's; what they are applied to differs. The bias field is not corrected first: whether a scan
    has one is part of the question. A voxel counts for one tissue, as a whole, where MRIQC weights by FAST's partial
    volumes. The air begins 10 mm from the head and at the height of the brain's centre, its noise is a standard
    deviation, and voxels that hold no measurement are left out of it and of the EFC. Neither erodes the tissues.

    Parameters
    ----------
    volume : Volume
        Native space, any intensity scale; what is below 0 counts as 0.
    brain : Brain
        As `find_brain` found it in this volume.
    tissues : ndarray of int, shape (X, Y, Z)
        0 background, 1 CSF, 2 grey matter, 3 white matter, as `find_tissues` returns them.

    Raises
    ------
    GridMismatchError
        If the mask or the tissues have another shape than the volume.
    """
    for name, array in (("brain.brain_mask", brain.brain_mask), ("tissues", tissues)):
        if array.shape != volume.data.shape:
            raise GridMismatchError(f"`{name}`: expected shape {volume.data.shape}; got {array.shape}")
    regions = Regions(volume.with_data(np.maximum(volume.data, 0)), brain, tissues)
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    reasons = {}
    for name, measure in MEASURES.items():
        try:
            values[name] = float(measure.formula(regions))
        except Undefined as reason:
            reasons[name] = str(reason)
    return Quality(values, reasons)


@dataclass(frozen=True)
class ScanQuality:
    """The quality of a scan, and what it was measured on: voxel edges, sorted, and what the reader had to assume."""

    quality: Quality
    is_skull_stripped: bool
    brain_litres: float
    spacing_mm: tuple[float, ...]
    notes: tuple[str, ...]


def measure_scan(path: Path, device: str = "cpu", on_step: Callable[[str], None] = lambda step: None) -> ScanQuality:
    """Measure one scan by itself: its brain and its tissues are found in it, never in another.

    So the figures of a scan, a NIfTI file or DICOM series, are the same whatever it is compared with, and the two scans
    of a pair may lie on different grids. Regions of the enhanced scan would suit the enhanced scan better, and the
    reverse. `on_step` is told the name of each of `STEPS` as it begins.

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
    litres = _litres(scan.volume, brain.brain_mask)
    notes = tuple(f"{path}: {note}" for note in scan.notes)
    spacing_mm = tuple(sorted(scan.volume.grid.spacing_mm))
    return ScanQuality(quality, brain.is_skull_stripped, litres, spacing_mm, notes)


def measure_pair(
    before: Volume, after: Volume, brain: Brain, *, has_field: bool = False
) -> tuple[ScanQuality, ScanQuality]:
    """Measure a scan and what was made of it, quickly: in one brain, and in tissues found once, in the second.

    Of a fine grid every second or third voxel along an axis is read, as it is, so that they lie 2 to 3 mm apart: noise
    stays what it was. `measure_scan` reads all, and finds brain and tissues in each scan by itself; it tells others.

    Parameters
    ----------
    before, after : Volume
        On one grid.
    brain : Brain
        Of both, on their grid.
    has_field : bool
        Whether the second may be inhomogeneous.

    Raises
    ------
    VolumeError
        If the tissues are not found.
    """
    steps = [int(np.ceil(_QUICK_MM / width - _SAME_SPACING)) for width in before.grid.spacing_mm]
    before, after = (_every(volume, steps) for volume in (before, after))
    brain = replace(brain, brain_mask=brain.brain_mask[tuple(slice(None, None, step) for step in steps)])
    tissues = find_tissues(after, brain.brain_mask, has_field=has_field)
    litres = _litres(before, brain.brain_mask)
    spacing_mm = tuple(sorted(before.grid.spacing_mm))
    first, second = (
        ScanQuality(measure_quality(volume, brain, tissues), brain.is_skull_stripped, litres, spacing_mm, ())
        for volume in (before, after)
    )
    return first, second


def _every(volume: Volume, steps: Sequence[int]) -> Volume:
    """Return every so manieth voxel along each axis, at its place."""
    affine = volume.affine @ np.diag([*steps, 1])
    return Volume(volume.data[tuple(slice(None, None, step) for step in steps)], affine)


def _litres(volume: Volume, brain_mask: np.ndarray) -> float:
    return float(np.count_nonzero(brain_mask) * abs(np.linalg.det(volume.affine[:3, :3])) / 1e6)


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
