"""The evaluation as pictures and plots: restored volumes side by side, metrics by degradation, region and subject."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.methods import ABLATIONS
from bmenet.evaluation.result import INPUT, Result
from bmenet.evaluation.summary import Summary
from bmenet.evaluation.tables import METHOD_LABELS, column, metric_label
from bmenet.evaluation.tissue import DICE
from bmenet.imaging.figures import PLANES, Tile, draw_tiles

MONTAGE_SUBJECTS = 8

_GROUP_WIDTH, _BAR_GROUP_WIDTH = 0.7, 0.82
"""Of what stands side by side, in units of the distance from group to group."""


def montage(clean: Mapping[str, Mapping[str, np.ndarray]], results: Sequence[Result], code: str) -> Figure:
    """Show the axial slice of the first eight subjects: clean, every method, and every method's absolute error.

    `clean` is subject to `shown_slices` of the clean volume.
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


def metric_by_code(summary: Summary, metric: str) -> Figure:
    """Plot the mean and its interval of every method, code by code."""
    figure, axes = _axes(8, 4)
    codes = list(next(iter(summary.values())))
    offsets = _offsets(len(summary), _GROUP_WIDTH)
    for number, (method, by_code) in enumerate(summary.items()):
        # The clean volume compared with itself would stretch the axis and say nothing.
        shown = [code for code in codes if code in by_code and (method, code) != (INPUT, CLEAN_CODE)]
        intervals = [by_code[code][metric] for code in shown]
        places = np.array([codes.index(code) for code in shown]) + offsets[number]
        means = [interval.mean for interval in intervals]
        axes.errorbar(places, means, _reach(intervals), fmt="o", ms=4, capsize=2, label=METHOD_LABELS[method])
    for border in np.arange(1, len(codes)) - 0.5:
        axes.axvline(border, color="0.9", lw=0.8, zorder=0)
    axes.set_xticks(range(len(codes)), codes)
    axes.set_xlabel("code (motion, noise, bias)")
    axes.set_ylabel(metric_label(metric))
    axes.legend(frameon=False, fontsize=8)
    return figure


def dice_bars(summary: Summary, code: str) -> Figure:
    """Plot the Dice overlap of every region, a bar a method, with intervals; say so where nothing was segmented."""
    shown = {
        method: overlaps
        for method, by_code in summary.items()
        if (overlaps := {name: found for name, found in by_code.get(code, {}).items() if name.startswith(DICE)})
    }
    regions = list(dict.fromkeys(name for by_region in shown.values() for name in by_region))
    figure, axes = _axes(max(6, 1.4 * len(regions)), 3.8)
    axes.set_title(f"Segmentation of the restored against the clean scan, code {code}", fontsize=10)
    if not shown:
        axes.text(0.5, 0.5, "no tissue was segmented", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return figure
    offsets, width = _offsets(len(shown), _BAR_GROUP_WIDTH), _BAR_GROUP_WIDTH / len(shown)
    for number, (method, by_region) in enumerate(shown.items()):
        places = np.array([regions.index(name) for name in by_region]) + offsets[number]
        intervals = list(by_region.values())
        axes.bar(
            places,
            [interval.mean for interval in intervals],
            0.92 * width,
            yerr=_reach(intervals),
            error_kw={"elinewidth": 0.8},
            label=METHOD_LABELS[method],
        )
    lows = [interval.low for by_region in shown.values() for interval in by_region.values()]
    # Bars begin at zero unless all of them are long: then the axis is cut, and says so by its first tick.
    axes.set_ylim(max(0, np.floor(10 * min(lows) - 0.5) / 10), 1)
    axes.set_xticks(range(len(regions)), [metric_label(name).replace(" ", "\n") for name in regions])
    axes.set_ylabel("Dice overlap")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def subject_lines(results: Sequence[Result], metric: str, code: str) -> Figure:
    """Plot a metric method by method, a line a subject: whether everybody gains, or a few for all."""
    of_code = without_ablations(results, code)
    methods = list(dict.fromkeys(result.method for result in of_code))
    figure, axes = _axes(max(5, 1.1 * len(methods)), 4)
    for subject in sorted({result.subject for result in of_code}):
        values = {result.method: result.metrics[metric] for result in of_code if result.subject == subject}
        axes.plot(range(len(methods)), [values[method] for method in methods], "o-", ms=3, lw=1, label=subject)
    axes.set_xticks(range(len(methods)), [METHOD_LABELS[method].replace(" + ", " +\n") for method in methods])
    axes.tick_params("x", labelrotation=30, labelsize=8)
    axes.set_ylabel(column(metric))
    axes.set_title(f"A line a test subject, code {code}", fontsize=10)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure, inches, with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _offsets(count: int, width: float) -> np.ndarray:
    """Return where `count` things side by side stand, relative to the middle of their group."""
    return width * ((np.arange(count) + 0.5) / count - 0.5)


def _reach(intervals: Sequence[Interval]) -> np.ndarray:
    """Return how far intervals reach below and above their means, shape (2, N)."""
    return np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]]).clip(0)


def _caption(result: Result) -> str:
    """Return what stands below a restored volume."""
    return f"{result.metrics['psnr']:.2f} dB, SSIM {result.metrics['ssim']:.3f}"
