"""The quality of a scan before and after, as a table."""

from collections.abc import Mapping

from bmenet.evaluation.pages.page import Table
from bmenet.evaluation.quality import MEASURES


def quality_table(
    before: Mapping[str, float | None],
    after: Mapping[str, float | None],
    changes: Mapping[str, float | None],
    reasons: Mapping[str, str],
    notes: tuple[str, ...] = (),
) -> Table:
    """Return what `bmenet qc` measures, before and after.

    Parameters
    ----------
    before, after, changes : mapping
        Every name in `MEASURES`; None where a measure is not defined.
    reasons : mapping
        For a None, why.
    notes : tuple of str
        What makes the two hard to compare.
    """
    rows = []
    for name, measure in MEASURES.items():
        better = "lower" if measure.lower_is_better else "higher"
        numbers = _written(before[name]), _written(after[name]), _written(changes[name], "+")
        rows.append([f"{name}: {measure.description}", *numbers, better])
    why = [f"–: {reason}." for reason in dict.fromkeys(reasons.values())]
    note = " ".join(
        [
            "Measured in each scan by itself, by MRIQC's definitions; no clean scan is known.",
            "A smoother image scores better whether it is truer or not.",
            *(f"{note}." for note in notes),
            *why,
        ]
    )
    return Table("Quality without a reference", ["Measure", "Before", "After", "Change", "Better"], rows, note)


def _written(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"
