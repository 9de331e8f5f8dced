from dataclasses import replace

import numpy as np

from bmenet.evaluation.figures import before_after, montage


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
