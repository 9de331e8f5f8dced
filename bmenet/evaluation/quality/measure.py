"""Every measure of one scan."""

from dataclasses import dataclass

import numpy as np

from bmenet.evaluation.quality import MEASURES
from bmenet.evaluation.quality.air import find_air, find_blank
from bmenet.evaluation.quality.definitions import Intensities, cjv, cnr, efc, snr, snr_dietrich
from bmenet.evaluation.quality.tissues import find_tissues
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError

TISSUES = {"csf": 1, "gm": 2, "wm": 3}
"""Labels of the segmentation."""

STRIPPED = "skull-stripped: there is no air around the head in which noise and ghosts could be measured"
BLANK = "the air around the head is blank in this file, so that noise and ghosts cannot be measured in it"
NO_AIR = "too little air above the head is in the field of view"

_NEEDS_ALL = "needs all three tissues"
_NEEDS_TWO = "needs grey and white matter"
_FEWEST_TISSUE_VOXELS = 100
_FEWEST_AIR_VOXELS = 1000


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


def measure_quality(volume: Volume, brain: Brain, tissues: np.ndarray | None = None) -> Quality:
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
    tissues : ndarray of int, shape (X, Y, Z), optional
        0 background, 1 CSF, 2 grey matter, 3 white matter; by default those of `find_tissues`.

    Raises
    ------
    GridMismatchError
        If the mask or the tissues have another shape than the volume.
    VolumeError
        If the volume cannot be segmented.
    """
    positive = volume.with_data(np.maximum(volume.data, 0))
    if tissues is None:
        tissues = find_tissues(positive, brain.brain_mask)
    for name, array in (("brain.brain_mask", brain.brain_mask), ("tissues", tissues)):
        if array.shape != volume.data.shape:
            raise GridMismatchError(f"`{name}`: expected shape {volume.data.shape}; got {array.shape}")
    regions = {name: _describe(positive.data[tissues == label], name) for name, label in TISSUES.items()}
    results = _measure_tissues(regions) | _measure_with_air(positive, brain, regions)
    return Quality(
        {name: None if isinstance(results[name], str) else float(results[name]) for name in MEASURES},
        {name: result for name in MEASURES if isinstance(result := results[name], str)},
    )


def _describe(inside: np.ndarray, name: str) -> Intensities | str:
    """Return the intensities of a tissue, or why they tell nothing."""
    if inside.size < _FEWEST_TISSUE_VOXELS:
        return f"expected at least {_FEWEST_TISSUE_VOXELS} voxels of {name.upper()}; found {inside.size}"
    if inside.min() == inside.max():
        return f"{name.upper()} is {inside[0]:g} everywhere: no noise, or no image"
    return Intensities.of(inside)


def _measure_tissues(regions: dict[str, Intensities | str]) -> dict[str, float | str]:
    """Measure what the tissues alone tell: numbers, or why there is none."""
    csf, gm, wm = (regions[name] for name in TISSUES)
    results: dict[str, float | str] = {
        f"snr_{name}": region if isinstance(region, str) else snr(region) for name, region in regions.items()
    }
    if isinstance(gm, str) or isinstance(wm, str):
        return results | {"snr_total": _NEEDS_ALL, "cjv": _NEEDS_TWO}
    results["cjv"] = cjv(wm, gm) if wm.median != gm.median else "grey and white matter are equally bright"
    results["snr_total"] = _NEEDS_ALL if isinstance(csf, str) else _mean(snr(csf), snr(gm), snr(wm))
    return results


def _measure_with_air(volume: Volume, brain: Brain, regions: dict[str, Intensities | str]) -> dict[str, float | str]:
    """Measure what needs the air around the head as well: numbers, or why there is none."""
    blank = find_blank(volume.data)
    air = _find_air(volume, brain, blank)
    if isinstance(air, str):
        return {name: air for name, measure in MEASURES.items() if measure.needs == "air"}
    csf, gm, wm = (regions[name] for name in TISSUES)
    results: dict[str, float | str] = {"efc": efc(volume.data[~blank])}
    if isinstance(gm, str) or isinstance(wm, str):
        return results | {"snrd_total": _NEEDS_ALL, "cnr": _NEEDS_TWO}
    results["cnr"] = cnr(wm, gm, air)
    results["snrd_total"] = (
        _NEEDS_ALL if isinstance(csf, str) else _mean(*(snr_dietrich(region, air) for region in (csf, gm, wm)))
    )
    return results


def _find_air(volume: Volume, brain: Brain, blank: np.ndarray) -> Intensities | str:
    """Return the intensities of the air, or why there are none."""
    if brain.is_skull_stripped:
        return STRIPPED
    air = find_air(volume, brain.brain_mask)
    measured = air & ~blank
    if np.count_nonzero(measured) < _FEWEST_AIR_VOXELS:
        return NO_AIR if np.count_nonzero(air) < _FEWEST_AIR_VOXELS else BLANK
    intensities = Intensities.of(volume.data[measured])
    return intensities if intensities.std > 0 else BLANK


def _mean(*values: float) -> float:
    return sum(values) / len(values)
