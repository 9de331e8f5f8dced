import json
from dataclasses import replace

import numpy as np
import pytest

from bmenet.config.profiles import load_profile
from bmenet.data.layout import Layout
from bmenet.evaluation.report import evaluation_page, write_report
from bmenet.imaging.figures import shown_slices
from bmenet.imaging.volume import save_unit_volume
from tests.registered import save_registered


@pytest.fixture
def layout(tmp_path, phantom) -> Layout:
    """Degraded inputs that are 0.1 too bright in the brain, and what two methods made of them."""
    layout = Layout(tmp_path)
    for subject in ("sub-01", "sub-02", "sub-03"):
        save_registered(layout, subject, phantom)
        brighter = {layout.degraded(subject, "111"): 0.1, layout.restored(subject, "111", "n4"): 0.05}
        for path, change in (brighter | {layout.restored(subject, "111", "coarse"): 0.01}).items():
            save_unit_volume(path, phantom.with_data(np.where(phantom.data > 0, phantom.data + change, 0)))
    return layout


FIGURES = ("montage", "before_after", "subjects", "dice")
FIGURES += tuple(f"{metric}_by_code" for metric in ("psnr", "psnr_brain", "ssim", "ssim_brain"))


def test_write_report_writes_every_table_figure_and_the_page(results, phantom, layout):
    cuts, tissues = shown_slices(phantom.data), {"dice.csf": 0.8, "volume_change.csf": 2.0}
    segmented = [
        replace(result, shown_slices=cuts, metrics=result.metrics | (tissues if result.code == "111" else {}))
        for result in results
    ]
    smoke = load_profile("smoke")
    evaluate = smoke.evaluate.model_copy(update={"codes": ["000", "010", "111"], "segmented_codes": ["111"]})
    config = smoke.model_copy(update={"evaluate": evaluate, "seed": 1})
    tracked = write_report(segmented, config, ({"seed": "1"}, {"git commit": "abc"}), layout)
    folder = layout.report("evaluate")
    assert {path.name for path in folder.iterdir()} == {
        *("metrics.json", "summary.json", "gains.json", "volumes.csv", "psnr_by_code.csv", "dice.csv", "report.html"),
        *(f"{name}.png" for name in FIGURES),
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["coarse"]["111"]["psnr"]["mean"] == pytest.approx(27)
    assert summary["coarse"]["all"]["psnr"]["low"] <= summary["coarse"]["all"]["psnr"]["high"]
    assert json.loads((folder / "metrics.json").read_text())["coarse"]["dice.csf"] == pytest.approx(0.8)
    assert tracked["test.coarse.111.psnr"] == pytest.approx(27)
    assert "27.00 [26.00, 28.00]" in (layout.reports / "results.md").read_text()
    page = (folder / "report.html").read_text()
    assert "git commit" in page
    assert "27.00 <small>[26.00, 28.00]</small>" in page


def test_evaluation_page_shows_the_median_subject_before_after_clean_and_every_error(results, layout, phantom):
    ablations = [replace(result, method="fine_decode") for result in results if result.method == "coarse"]
    page = evaluation_page([*results, *ablations], "111", [], {}, ({"seed": "1"}, {"commit": "abc"}), layout)
    assert "sub-02" in page.subtitle
    names = [layer.name for layer in page.layers]
    assert names[:4] == ["degraded input", "BMENet, coarse", "clean", "N4"], "no ablations"
    errors = {layer.name: layer for layer in page.layers if layer.kind == "difference"}
    assert list(errors) == ["degraded input - clean", "BMENet, coarse - clean", "N4 - clean"]
    clean = page.layers[2].volume
    inside = clean.data > 0
    assert errors["degraded input - clean"].volume.data[inside] == pytest.approx(0.1, abs=1e-3)
    assert errors["BMENet, coarse - clean"].volume.data[inside] == pytest.approx(0.01, abs=1e-3)
    # Cut to the brain, and each voxel where it was.
    assert np.count_nonzero(inside) == np.count_nonzero(phantom.data > 0)
    assert clean.data.size < phantom.data.size
    first = np.argwhere(phantom.data > 0)[0], np.argwhere(inside)[0]
    places = [v.affine @ [*index, 1] for v, index in zip((phantom, clean), first, strict=True)]
    np.testing.assert_allclose(*places)
    assert (page.settings, page.origin) == ({"seed": "1"}, {"commit": "abc"})
