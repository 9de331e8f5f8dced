"""The evaluation as pictures: a montage of the test subjects, a before and after, metrics by code."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.evaluation.methods import FINE, FINE_VARIANTS, INPUT
from bmenet.evaluation.result import CLEAN_CODE, Result
from bmenet.evaluation.summary import Summary
from bmenet.evaluation.table import METHOD_LABELS, metric_label
from bmenet.figures import PLANES, Tile, draw_tiles

MONTAGE_SUBJECTS = 8

_GROUP_WIDTH = 0.7
"""Of the methods side by side, in units of the distance from code to code."""


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
    """Show the methods in three planes on the subject whose last method's PSNR is the median: no lucky pick.

    Of the second stage the ablations are left out.
    """
    hidden = set(FINE_VARIANTS) - {FINE}
    of_code = [result for result in results if result.code == code and result.method not in hidden]
    methods = list(dict.fromkeys(result.method for result in of_code))
    ranked = sorted((r for r in of_code if r.method == methods[-1]), key=lambda result: result.metrics["psnr"])
    subject = ranked[(len(ranked) - 1) // 2].subject
    shown = [result for result in of_code if result.subject == subject]
    rows = [
        [Tile(result.shown_slices[plane], _caption(result) if plane == list(PLANES)[-1] else "") for result in shown]
        + [Tile(clean[subject][plane])]
        for plane in PLANES
    ]
    return draw_tiles(rows, [*(METHOD_LABELS[result.method] for result in shown), "clean"])


def metric_by_code(summary: Summary, metric: str) -> Figure:
    """Plot the mean and its interval of every method, code by code."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    codes = list(next(iter(summary.values())))
    offsets = _GROUP_WIDTH * ((np.arange(len(summary)) + 0.5) / len(summary) - 0.5)
    for number, (method, by_code) in enumerate(summary.items()):
        # The clean volume compared with itself would stretch the axis and say nothing.
        shown = [code for code in codes if code in by_code and (method, code) != (INPUT, CLEAN_CODE)]
        intervals = [by_code[code][metric] for code in shown]
        means = np.array([interval.mean for interval in intervals])
        spread = np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
        places = np.array([codes.index(code) for code in shown]) + offsets[number]
        axes.errorbar(places, means, spread.clip(0), fmt="o", ms=4, capsize=2, label=METHOD_LABELS[method])
    for border in np.arange(1, len(codes)) - 0.5:
        axes.axvline(border, color="0.9", lw=0.8, zorder=0)
    axes.set_xticks(range(len(codes)), codes)
    axes.set_xlabel("code (motion, noise, bias)")
    axes.set_ylabel(metric_label(metric))
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _caption(result: Result) -> str:
    return f"{result.metrics['psnr']:.2f} dB, SSIM {result.metrics['ssim']:.3f}"
