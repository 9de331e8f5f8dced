import pytest

from bmenet.evaluation.labels import (
    DICE,
    VOLUME,
    VOLUME_ERROR,
    metric_arrow,
    metric_format,
    metric_label,
    region_metric,
)


@pytest.mark.parametrize(
    ("metric", "label", "arrow", "number"),
    [
        ("psnr", "PSNR (dB)", "↑", "1.00"),
        ("ssim_brain", "brain SSIM", "↑", "1.000"),
        ("hfen_brain", "brain HFEN", "↓", "1.000"),
        (region_metric(DICE, "csf"), "CSF", "↑", "1.000"),
        (region_metric(VOLUME, "brain stem"), "brain stem", "", "1.0"),
        (region_metric(VOLUME_ERROR, "brain stem"), "brain stem", "↓", "1.0"),
    ],
)
def test_a_metric_is_named_pointed_and_rounded(metric, label, arrow, number):
    assert (metric_label(metric), metric_arrow(metric), f"{1:{metric_format(metric)}}") == (label, arrow, number)
