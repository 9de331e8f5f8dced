"""The page of one enhanced scan: before, after, what changed, how sure the model is, and how it came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bmenet.evaluation.pages.page import Layer, Page, Picture, Table
from bmenet.evaluation.pages.picture import before_after_picture, picture_caption
from bmenet.imaging.volume import Volume

UNIT = "input's units"
_PERCENTILE = 95


@dataclass(frozen=True)
class Course:
    """How an enhancement went.

    Parameters
    ----------
    similarity : float
        To the template after registration, in [-1, 1].
    registered_by : str
        The tool that aligned the scan, or ``none``.
    is_skull_stripped : bool
    is_in_standard_space : bool
        Whether the scan lay on the standard grid already.
    timings : mapping of str to float
        Step to wall-clock seconds.
    """

    similarity: float
    registered_by: str
    is_skull_stripped: bool
    is_in_standard_space: bool
    timings: Mapping[str, float]


def scan_page(
    before: Volume,
    after: Volume,
    std: Volume | None,
    course: Course,
    settings: Mapping[str, str],
    lineage: Mapping[str, str],
    tables: Sequence[Table] = (),
    notes: Sequence[str] = (),
) -> Page:
    """Return the page of one enhanced scan; it tells whose scan it is only if what is passed in does.

    Parameters
    ----------
    before, after : Volume
        The scan and the enhanced scan, on one grid, in the input's intensity scale.
    std : Volume or None
        The second stage's standard deviation over samples, on the same grid.
    course : Course
    settings, lineage : mapping of str to str
    tables : sequence of Table
        Shown first: the quality before and after.
    notes : sequence of str
        What had to be assumed about the scan.
    """
    before, after = (volume.with_data(np.maximum(volume.data, 0)) for volume in (before, after))
    difference = after.with_data(after.data - before.data)
    layers = [
        Layer("before", before, "image", UNIT),
        Layer("after", after, "image", UNIT),
        Layer("after − before", difference, "difference", UNIT),
    ]
    if std is not None:
        layers.append(Layer("uncertainty: std of the samples", std, "uncertainty", UNIT))
    kind = "Skull-stripped brain" if course.is_skull_stripped else "Whole head; only the brain was enhanced"
    return Page(
        title="Enhanced scan",
        subtitle=f"{kind}. Similarity to the template {course.similarity:.2f}.",
        layers=layers,
        tables=[*tables, _change_table(before.data, difference.data), _course_table(course)],
        pictures=[Picture("Before and after", before_after_picture(before, after, std), picture_caption())],
        settings=settings,
        lineage=lineage,
        notes=[
            "What the network adds is its guess from other brains: where the change is large, look at the input too.",
            *(f"{note[0].upper()}{note[1:]}." for note in notes),
        ],
    )


def _change_table(before: np.ndarray, difference: np.ndarray) -> Table:
    """Return how much changed, in the input's units and as a share of its brightness."""
    positive = before[before > 0]
    white = float(np.percentile(positive, 99)) if positive.size else 1.0
    changed = np.abs(difference[difference != 0])
    values = {
        "Mean absolute change": float(changed.mean()) if changed.size else 0.0,
        f"{_PERCENTILE}th percentile of it": float(np.percentile(changed, _PERCENTILE)) if changed.size else 0.0,
        "Greatest": float(changed.max()) if changed.size else 0.0,
        "Mean change, signed": float(difference[difference != 0].mean()) if changed.size else 0.0,
    }
    rows = [[name, f"{value:.4g}", f"{round(100 * value / white, 1) + 0:.1f} %"] for name, value in values.items()]
    return Table(
        "What changed",
        ["Where anything changed", "Input's units", "Of its brightness"],
        rows,
        f"{100 * changed.size / difference.size:.1f} % of the voxels changed. Brightness is the 99th percentile of the"
        f" input's intensities above 0, {white:.4g}.",
    )


def _course_table(course: Course) -> Table:
    """Return how long every step took, and how well the scan was aligned."""
    rows = [[step[0].upper() + step[1:], f"{seconds:.1f} s"] for step, seconds in course.timings.items()]
    rows.append(["Together", f"{sum(course.timings.values()):.1f} s"])
    alignment = (
        "The scan lay on the standard grid already and was not interpolated"
        if course.is_in_standard_space
        else f"The scan was aligned rigidly to the template (by {course.registered_by})"
    )
    return Table(
        "Steps",
        ["Step", "Wall clock"],
        rows,
        f"{alignment}; similarity {course.similarity:.2f} (mean local correlation; well aligned scans with severe"
        " artefacts reach 0.60 to 0.66, scans upside down 0.25 to 0.35).",
    )
