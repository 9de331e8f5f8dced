import numpy as np
import pytest

from bmenet.config import CalibrationConfig
from bmenet.degradation.calibration import calibration_figure


def test_calibration_figure_draws_every_volume_and_the_published_band():
    rows = [
        {"subject": f"sub-{number}", "code": code, "psnr_db": level + number}
        for code, level in (("111", 20.0), ("010", 30.0))
        for number in range(3)
    ]
    (axes,) = calibration_figure(rows, CalibrationConfig(psnr_db=20.8, tolerance_db=0.7)).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["010", "111"]
    points = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "."])
    assert sorted(points) == pytest.approx([20, 21, 22, 30, 31, 32])
    assert "20.1 to 21.5 dB" in axes.get_legend().get_texts()[0].get_text()


def test_calibration_figure_leaves_out_volumes_that_did_not_change():
    (axes,) = calibration_figure(
        [{"code": "100", "psnr_db": None}], CalibrationConfig(psnr_db=20.8, tolerance_db=1)
    ).axes
    assert not [line for line in axes.lines if line.get_marker() == "."]
