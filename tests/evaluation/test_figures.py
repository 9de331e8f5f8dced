from dataclasses import replace

import numpy as np

from bmenet.evaluation.figures import before_after, metric_by_code, montage
from bmenet.evaluation.summary import summarise


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def clean_slices(results):
    return {result.subject: result.shown_slices for result in results}


def test_montage_has_a_row_per_subject_and_a_difference_per_method(results):
    figure = montage(clean_slices(results), results, "111")
    assert len(figure.axes) == 3 * 7
    assert titles(figure)[0] == "clean"
    assert titles(figure)[-1] == "error of\nBMENet, coarse"


def test_montage_difference_is_absolute(results):
    darker = [
        replace(result, shown_slices={name: pixels - 0.25 for name, pixels in result.shown_slices.items()})
        for result in results
    ]
    figure = montage(clean_slices(results), darker, "111")
    assert np.allclose(figure.axes[-1].images[0].get_array(), 0.25)


def test_before_after_shows_the_median_subject(results):
    figure = before_after(clean_slices(results), results, "111")
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert "27.00 dB, SSIM 0.500" in captions  # sub-02; sub-03 has 28 dB
    assert titles(figure) == ["degraded input", "N4", "BMENet, coarse", "clean"]


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
