import numpy as np
import pytest

from bmenet.config import CalibrationConfig
from bmenet.imaging.figures import calibration_figure, panel, shown_slices


def test_shown_slices_put_anterior_and_superior_up_and_left_on_the_left():
    data = np.zeros((10, 12, 8), np.float32)
    data[0, -1, :] = 1  # leftmost, foremost column
    data[:, :, -1] += 2  # top
    slices = shown_slices(data)
    assert {plane: pixels.shape for plane, pixels in slices.items()} == {
        "axial": (12, 10),
        "coronal": (8, 10),
        "sagittal": (8, 12),
    }
    assert slices["axial"][0, 0] == 1
    assert (slices["coronal"][0] == 2).all()
    assert (slices["sagittal"][0] == 2).all()


def test_shown_slices_cut_the_same_place_at_every_spacing():
    fine = np.arange(160, dtype=np.float32)[:, None, None] * np.ones((1, 224, 160), np.float32)
    coarse = fine[::2, ::2, ::2]
    assert shown_slices(fine)["sagittal"][0, 0] == shown_slices(coarse)["sagittal"][0, 0] == 92


def test_panel_shows_volumes_differences_and_psnr(phantom):
    degraded = phantom.data + np.float32(0.1)
    figure = panel({"clean": phantom.data, "degraded": degraded}, "sub-01, code 010")
    assert len(figure.axes) == 3 * 3
    assert [axes.get_title() for axes in figure.axes[:3]] == ["clean", "degraded", "error of\ndegraded"]
    assert "20.00 dB" in [axes.get_xlabel() for axes in figure.axes]
    assert np.allclose(figure.axes[2].images[0].get_array(), 0.1, atol=1e-5)


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
