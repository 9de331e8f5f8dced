"""The table of measures, and all of them of one scan; a new measure is a formula and a line in `MEASURES`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bmenet.evaluation.quality.definitions import Intensities, cjv, cnr, efc, snr, snr_dietrich
from bmenet.evaluation.quality.regions import find_air, find_blank
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError

TISSUES = {"csf": 1, "gm": 2, "wm": 3}
"""Labels of the segmentation."""

STRIPPED = "skull-stripped: there is no air around the head in which noise and ghosts could be measured"
BLANK = "the air around the head is blank in this file, so that noise and ghosts cannot be measured in it"
NO_AIR = "too little air above the head is in the field of view"

_FEWEST_TISSUE_VOXELS = 100
_FEWEST_AIR_VOXELS = 1000


class Undefined(Exception):
    """A measure has no value for this scan; the text says why."""


@dataclass(frozen=True)
class Regions:
    """A scan with the regions that formulas read; a region that tells nothing raises `Undefined`.

    Parameters
    ----------
    volume : Volume
        Native space, not below 0.
    brain : Brain
    tissues : ndarray of int, shape (X, Y, Z)
        Labels of `TISSUES`.
    """

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
    """A measure of one scan.

    Parameters
    ----------
    formula : callable
        `Regions` to a number.
    description : str
        One line for the reader of a table.
    lower_is_better : bool
    """

    formula: Callable[[Regions], float]
    description: str
    lower_is_better: bool = False


def _snrd_total(regions: Regions) -> float:
    air = regions.air
    return regions.over_tissues(lambda tissue: snr_dietrich(tissue, air))


def _cnr(regions: Regions) -> float:
    air = regions.air
    return cnr(regions["wm"], regions["gm"], air)


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
        _snrd_total, "signal of the three tissues to the noise in the air around the head (Dietrich)"
    ),
    "cnr": Measure(_cnr, "how far grey and white matter lie apart, in units of their spread and the air's"),
    "cjv": Measure(_cjv, "spread of grey and white matter over their distance: noise and bias field raise it", True),
    "efc": Measure(
        lambda regions: efc(regions.measured),
        "entropy of all that was measured: ghosts and blur of motion raise it",
        True,
    ),
}


@dataclass(frozen=True)
class Quality:
    """What was measured, and why the rest was not.

    Parameters
    ----------
    values : dict
        Every name in `MEASURES`, in that order; None where the measure is not defined for this scan.
    reasons : dict
        For each None, why.
    """

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
