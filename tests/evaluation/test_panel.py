import numpy as np

from bmenet.evaluation.panel import panel


def test_panel_shows_volumes_differences_and_psnr(phantom):
    degraded = phantom.data + np.float32(0.1)
    figure = panel({"clean": phantom.data, "degraded": degraded}, "sub-01, code 010")
    assert len(figure.axes) == 3 * 3
    assert [axes.get_title() for axes in figure.axes[:3]] == ["clean", "degraded", "error of\ndegraded"]
    assert "20.00 dB" in [axes.get_xlabel() for axes in figure.axes]
    assert np.allclose(figure.axes[2].images[0].get_array(), 0.1, atol=1e-5)
