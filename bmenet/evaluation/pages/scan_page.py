"""The page of one enhanced scan: before, after, what changed, how sure the model is, and how it came about."""

from collections.abc import Mapping, Sequence

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from bmenet.evaluation.pages.layers import Layer, centre_index, thinned
from bmenet.evaluation.pages.page import Page, Picture, Table
from bmenet.evaluation.quality import MEASURES
from bmenet.evaluation.quality.scans import ScanQuality, compare
from bmenet.imaging.figures import DIFFERENCE_LIMIT, PLANES, Tile, draw_tiles, png_bytes
from bmenet.imaging.volume import Volume
from bmenet.restoration.enhanced import Enhanced
from bmenet.restoration.field import SIZE_ERROR

_UNIT = "input's units"
_WINDOW_PERCENTILE = 99.5
_PERCENTILE = 95
_CAPTION = (
    f"White is the {_WINDOW_PERCENTILE:g}th percentile of the input's intensities above 0. In the columns on the right "
    f"black is 0 and the brightest colour {100 * DIFFERENCE_LIMIT:g} % of that. The left is on the left."
)


def scan_page(
    before: Volume,
    enhanced: Enhanced,
    settings: Mapping[str, str],
    origin: Mapping[str, str],
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> Page:
    """Return the page of one enhanced scan; it tells whose scan it is only if what is passed in does.

    Parameters
    ----------
    before : Volume
        The scan, on the grid and in the intensity scale of the enhanced one.
    tables : sequence of Table
        Shown first: the quality before and after.
    notes : sequence of str
        What had to be assumed about the scan.
    """
    before, after = (volume.with_data(np.maximum(volume.data, 0)) for volume in (before, enhanced.scan.volume))
    std = None if enhanced.std is None else enhanced.std.volume
    difference = after.with_data(after.data - before.data)
    layers = [
        Layer("before", before, "image", _UNIT),
        Layer("after", after, "image", _UNIT),
        Layer("after − before", difference, "difference", _UNIT),
    ]
    if std is not None:
        layers.append(Layer("uncertainty: std of the samples", std, "uncertainty", _UNIT))
    kind = "Skull-stripped brain" if enhanced.is_skull_stripped else "Whole head"
    return Page(
        title="Enhanced scan",
        subtitle=f"{kind}. Similarity to the template {enhanced.registration.similarity:.2f}. Intensity inhomogeneity"
        f" {enhanced.field_size:.2f} ± {SIZE_ERROR:.2f} in the brain, (high - low) / (high + low).",
        layers=layers,
        tables=[*tables, _change_table(before.data, difference.data), _steps_table(enhanced)],
        pictures=[Picture("Before and after", before_after_picture(before, after, std), _CAPTION)],
        settings=settings,
        origin=origin,
        notes=[
            "What the network adds is its guess from other brains: where the change is large, look at the input too.",
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
        ],
    )


def quality_table(before: ScanQuality, after: ScanQuality) -> Table:
    """Return what `bmenet qc` measures, before and after; an undefined measure is a dash, and the note says why."""
    changes, pair_notes = compare(before, after)
    rows = [
        [
            f"{name}: {measure.description}",
            *(_written(scan.quality.values[name]) for scan in (before, after)),
            _written(changes[name], "+"),
            "lower" if measure.lower_is_better else "higher",
        ]
        for name, measure in MEASURES.items()
    ]
    reasons = dict.fromkeys((before.quality.reasons | after.quality.reasons).values())
    note = " ".join(
        [
            "Measured by MRIQC's definitions in tissues of the enhanced scan, in voxels 2 to 3 mm apart; `bmenet qc`"
            " finds the tissues of each scan by itself. No clean scan is known.",
            "A smoother image scores better whether it is truer or not.",
            *(f"{note}." for note in pair_notes),
            *(f"–: {reason}." for reason in reasons),
        ]
    )
    header = ["Measure", "Before", "After", "Change", "Better"]
    return Table("Quality without a reference", pd.DataFrame(rows, columns=header), note)


def before_after_picture(before: Volume, after: Volume, std: Volume | None = None) -> bytes:
    """Draw before, after and their absolute difference as PNG, cut through the middle of what changed.

    Parameters
    ----------
    before, after : Volume
        On one grid of any orientation, any intensity scale.
    std : Volume, optional
        Spread of the samples on the same grid, drawn like the difference.
    """
    difference = np.abs(after.data - before.data)
    columns = {"before": before.data, "after": after.data, "|after − before|": difference}
    if std is not None:
        columns["std of the samples"] = std.data
    white = _percentile(before.data, _WINDOW_PERCENTILE)
    centre = [round(place) for place in centre_index(_upright(difference, before.affine))]
    cuts = [_cut(data, before, centre) for data in columns.values()]
    rows = [
        [Tile(cut[plane] / white, is_difference=number > 1) for number, cut in enumerate(cuts)]
        for plane in ("axial", "coronal", "sagittal")
    ]
    return png_bytes(draw_tiles(rows, list(columns)))


def _change_table(before: np.ndarray, difference: np.ndarray) -> Table:
    """Return how much changed, in the input's units and as a share of its brightness."""
    white = _percentile(before, 99)
    count = np.count_nonzero(difference)
    changes = difference[difference != 0] if count else np.zeros(1)
    sizes = np.abs(changes)
    values = {
        "Mean absolute change": sizes.mean(),
        f"{_PERCENTILE}th percentile of it": np.percentile(thinned(sizes), _PERCENTILE),
        "Greatest": sizes.max(),
        "Mean change, signed": changes.mean(),
    }
    rows = [[name, f"{value:.4g}", f"{round(100 * value / white, 1) + 0:.1f} %"] for name, value in values.items()]
    return Table(
        "What changed",
        pd.DataFrame(rows, columns=["Where anything changed", "Input's units", "Of its brightness"]),
        f"{100 * count / difference.size:.1f} % of the voxels changed. Brightness is the 99th percentile of the"
        f" input's intensities above 0, {white:.4g}.",
    )


def _steps_table(enhanced: Enhanced) -> Table:
    """Return how long every step took, and how well the scan was aligned."""
    seconds = {step[0].upper() + step[1:]: seconds for step, seconds in enhanced.timings.items()}
    seconds["Together"] = sum(seconds.values())
    alignment = (
        "The scan lay on the standard grid already and was not interpolated"
        if enhanced.is_in_standard_space
        else f"The scan was aligned rigidly to the template (by {enhanced.registration.backend})"
    )
    return Table(
        "Steps",
        pd.DataFrame({"Step": list(seconds), "Wall clock": [f"{value:.1f} s" for value in seconds.values()]}),
        f"{alignment}; similarity {enhanced.registration.similarity:.2f} (mean local correlation; well aligned scans"
        " with severe artefacts reach 0.60 to 0.66, scans upside down 0.25 to 0.35).",
    )


def _percentile(data: np.ndarray, percentile: float) -> float:
    """Return a percentile of the intensities above 0, of many voxels from one in eight; 1 where there are none."""
    few = thinned(data)
    positive = few[few > 0] if (few > 0).any() else data[data > 0]
    return float(np.percentile(positive, percentile)) if positive.size else 1.0


def _written(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"


def _upright(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return a volume turned to the axes nearest to RAS+; a view."""
    turned: np.ndarray = nib.orientations.apply_orientation(data, nib.orientations.io_orientation(affine))
    return turned


def _cut(data: np.ndarray, volume: Volume, centre: list[int]) -> dict[str, np.ndarray]:
    """Return a slice per plane with square pixels; anterior or superior is up, the left is left."""
    upright = _upright(data, volume.affine)
    axes = nib.orientations.io_orientation(volume.affine)[:, 0].argsort()
    sizes = [volume.grid.spacing_mm[axis] for axis in axes]
    smallest = min(sizes)
    slices = {}
    for plane, axis in PLANES.items():
        pixels = np.take(upright, centre[axis], axis=axis).T[::-1]
        across, up = (size for other, size in enumerate(sizes) if other != axis)
        slices[plane] = ndimage.zoom(pixels, (up / smallest, across / smallest), order=1)
    return slices
