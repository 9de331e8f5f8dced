"""The evaluation as pictures: a montage of the test subjects, a before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bmenet.evaluation.labels import METHOD_LABELS
from bmenet.evaluation.methods import ABLATIONS
from bmenet.evaluation.result import Result
from bmenet.imaging.figures import PLANES, Tile, draw_tiles

MONTAGE_SUBJECTS = 8


def montage(clean: Mapping[str, Mapping[str, np.ndarray]], results: Sequence[Result], code: str) -> Figure:
    """Show the axial slice of the first eight subjects: clean, every method, and every method's absolute error.

    Parameters
    ----------
    clean : mapping
        Subject to `shown_slices` of the clean volume.
    results : sequence of Result
    code : str
        The case that is shown.
    """
    chosen = {(result.subject, result.method): result for result in results if result.code == code}
    methods = list(dict.fromkeys(method for _, method in chosen))
    rows = []
    for subject in sorted({subject for subject, _ in chosen})[:MONTAGE_SUBJECTS]:
        of_subject = [chosen[subject, method] for method in methods]
        reference = clean[subject]["axial"]
        rows.append(
            [Tile(reference, subject)]
            + [Tile(result.shown_slices["axial"], _caption(result)) for result in of_subject]
            + [Tile(np.abs(result.shown_slices["axial"] - reference), "", True) for result in of_subject]
        )
    labels = [METHOD_LABELS[method] for method in methods]
    columns = ["clean", *labels, *(f"error of\n{label}" for label in labels)]
    return draw_tiles(rows, columns, f"Unseen test subjects, code {code}")


def before_after(clean: Mapping[str, Mapping[str, np.ndarray]], results: Sequence[Result], code: str) -> Figure:
    """Show the methods in three planes on the subject of `median_subject`. Of the second stage no ablations."""
    subject = median_subject(results, code)
    shown = [result for result in without_ablations(results, code) if result.subject == subject]
    rows = [
        [Tile(result.shown_slices[plane], _caption(result) if plane == list(PLANES)[-1] else "") for result in shown]
        + [Tile(clean[subject][plane])]
        for plane in PLANES
    ]
    return draw_tiles(rows, [*(METHOD_LABELS[result.method] for result in shown), "clean"])


def median_subject(results: Sequence[Result], code: str) -> str:
    """Return the subject on which the last method's PSNR is the median: no lucky pick."""
    shown = without_ablations(results, code)
    ranked = sorted((r for r in shown if r.method == shown[-1].method), key=lambda result: result.metrics["psnr"])
    return ranked[(len(ranked) - 1) // 2].subject


def without_ablations(results: Sequence[Result], code: str) -> list[Result]:
    """Return the results under a code; of the second stage only as it is sampled."""
    return [result for result in results if result.code == code and result.method not in ABLATIONS]


def _caption(result: Result) -> str:
    return f"{result.metrics['psnr']:.2f} dB, SSIM {result.metrics['ssim']:.3f}"
