"""The numbers that plots draw; how they draw them is matplotlib's."""

from dataclasses import replace

import numpy as np
import pytest

from bmenet.evaluation.plots import before_after, dice_bars, median_subject, metric_by_code, montage, subject_lines
from bmenet.evaluation.result import results_table
from bmenet.evaluation.summary import summarise


def summary_of(results):
    return summarise(results_table(results), 100, 1)


@pytest.fixture
def clean(results):
    return {result.subject: result.shown_slices for result in results}


@pytest.fixture
def with_ablation(results):
    return [*results, *(replace(result, method="fine_decode") for result in results if result.method == "coarse")]


def test_montage_shows_the_absolute_error_of_every_method_on_every_subject(results, clean):
    darker = [replace(r, shown_slices={plane: data - 0.25 for plane, data in r.shown_slices.items()}) for r in results]
    axes = montage(clean, darker, "111").axes
    assert len(axes) == 3 * 7
    np.testing.assert_allclose(axes[-1].images[0].get_array(), 0.25)


def test_before_after_shows_the_median_subject_without_ablations(with_ablation, clean):
    assert median_subject(with_ablation, "111") == "sub-02"
    axes = before_after(clean, with_ablation, "111").axes
    assert [panel.get_title() for panel in axes if panel.get_title()] == [
        *("degraded input", "N4", "BMENet, coarse"),
        "clean",
    ]


def test_metric_by_code_leaves_out_the_clean_volume_compared_with_itself(results):
    (axes,) = metric_by_code(summary_of(results), "psnr").axes
    drawn = [container.lines[0].get_ydata() for container in axes.containers]
    assert [len(values) for values in drawn] == [3, 4, 4]
    assert max(map(max, drawn)) < 50


def test_dice_bars_has_a_bar_for_each_segmented_method_and_region(results):
    overlaps = {"degraded": (0.6, 0.7), "coarse": (0.8, 0.85)}
    segmented = [
        replace(r, metrics=r.metrics | dict(zip(("dice.csf", "dice.grey_matter"), overlaps[r.method], strict=True)))
        if r.method in overlaps
        else r
        for r in results
        if r.code == "111"
    ]
    (axes,) = dice_bars(summary_of(segmented), "111").axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers if len(bars) == 2}
    assert heights == {
        "degraded input": pytest.approx(overlaps["degraded"]),
        "BMENet, coarse": pytest.approx(overlaps["coarse"]),
    }
    assert axes.get_ylim()[0] < 0.6, "no bar hides below the axis"


def test_subject_lines_draws_a_line_a_subject_in_the_order_of_the_methods(with_ablation):
    (axes,) = subject_lines(with_ablation, "psnr", "111").axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines == {"sub-01": [20, 21, 26], "sub-02": [21, 22, 27], "sub-03": [22, 23, 28]}
