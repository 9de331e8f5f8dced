import json

import pytest

from bmenet.config import EvaluateConfig
from bmenet.evaluation.report import write_report
from bmenet.layout import Layout
from bmenet.volume import save_unit_volume


@pytest.fixture
def layout(tmp_path, phantom) -> Layout:
    layout = Layout(tmp_path)
    for subject in ("sub-01", "sub-02", "sub-03"):
        save_unit_volume(layout.clean(subject), phantom)
    return layout


@pytest.fixture
def results_on_the_grid(results, phantom):
    from dataclasses import replace

    from bmenet.figures import shown_slices

    return [replace(result, shown_slices=shown_slices(phantom.data)) for result in results]


def test_write_report_writes_every_table_and_figure(results_on_the_grid, layout):
    config = EvaluateConfig(codes=["000", "010", "111"], baselines=["n4"], fine=[], fine_codes=[], bootstrap=100)
    tracked = write_report(results_on_the_grid, config, 1, layout)
    folder = layout.report("evaluate")
    written = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(written) == {
        *("metrics.json", "gains.json", "volumes.csv", "psnr_by_code.csv", "results.md", "montage.png"),
        *(
            "before_after.png",
            "psnr_by_code.png",
            "psnr_brain_by_code.png",
            "ssim_by_code.png",
            "ssim_brain_by_code.png",
        ),
    }
    assert min(written.values()) > 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["coarse"]["111"]["psnr"]["mean"] == pytest.approx(27)
    assert metrics["coarse"]["all"]["psnr"]["low"] <= metrics["coarse"]["all"]["psnr"]["high"]
    assert tracked["test.coarse.111.psnr"] == pytest.approx(27)
