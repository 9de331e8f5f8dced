from dataclasses import replace

import numpy as np

from bmenet.evaluation.plots import dice_bars, metric_by_code, subject_lines
from bmenet.evaluation.summary import summarise


def test_metric_by_code_draws_every_method(results):
    (axes,) = metric_by_code(summarise(results, 100, 1), "psnr").axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["degraded input", "N4", "BMENet, coarse"]
    assert axes.get_ylabel() == "PSNR (dB)"


def test_metric_by_code_keeps_the_methods_of_a_code_together(results):
    axes = metric_by_code(summarise(results, 100, 0), "psnr").axes[0]
    places = np.concatenate([container.lines[0].get_xdata() for container in axes.containers])
    assert np.abs(places - places.round()).max() < 0.5
    single = [result for result in results if result.method == results[0].method]
    alone = metric_by_code(summarise(single, 100, 0), "psnr").axes[0].containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(alone, np.round(alone))


def test_metric_by_code_leaves_out_the_clean_volume_compared_with_itself(results):
    (axes,) = metric_by_code(summarise(results, 100, 1), "psnr").axes
    drawn = [container.lines[0].get_ydata() for container in axes.containers]
    assert [len(values) for values in drawn] == [3, 4, 4]
    assert max(map(max, drawn)) < 50


def test_dice_bars_has_a_bar_for_each_method_and_region(results):
    overlaps = {"degraded": (0.6, 0.7), "n4": (0.7, 0.75), "coarse": (0.8, 0.85)}
    segmented = [
        replace(r, metrics=r.metrics | dict(zip(("dice.csf", "dice.grey_matter"), overlaps[r.method], strict=True)))
        for r in results
        if r.code == "111"
    ]
    (axes,) = dice_bars(summarise(segmented, 100, 0), "111").axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers if len(bars) == 2}
    np.testing.assert_allclose(heights["BMENet, coarse"], [0.8, 0.85])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["CSF", "grey\nmatter"]
    # No bar hides below the axis, and none begins in the air.
    assert axes.get_ylim()[0] < 0.6
    assert len(heights) == 3


def test_dice_bars_leaves_out_methods_that_were_not_segmented(results):
    segmented = [
        replace(r, metrics=r.metrics | {"dice.csf": 0.5}) if r.method == "n4" else r for r in results if r.code == "111"
    ]
    (axes,) = dice_bars(summarise(segmented, 100, 0), "111").axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["N4"]


def test_subject_lines_draws_a_line_a_subject_in_the_order_of_the_methods(results):
    (axes,) = subject_lines(results, "psnr", "111").axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines == {"sub-01": [20, 21, 26], "sub-02": [21, 22, 27], "sub-03": [22, 23, 28]}


def test_subject_lines_leaves_out_ablations(results):
    ablations = [replace(result, method="fine_decode") for result in results if result.method == "coarse"]
    (axes,) = subject_lines([*results, *ablations], "psnr", "111").axes
    assert len(axes.get_lines()[0].get_ydata()) == 3
