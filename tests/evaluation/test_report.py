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


def report_config():
    smoke = load_profile("smoke")
    evaluate = smoke.evaluate.model_copy(update={"codes": ["000", "010", "111"], "segmented_codes": ["111"]})
    return smoke.model_copy(update={"evaluate": evaluate, "seed": 1})


def test_write_report_writes_every_table_figure_and_the_page(results, phantom, layout):
    cuts, tissues = shown_slices(phantom.data), {"dice.csf": 0.8, "volume_change.csf": 2.0}
    segmented = [
        replace(result, shown_slices=cuts, metrics=result.metrics | (tissues if result.code == "111" else {}))
        for result in results
    ]
    tracked = write_report(segmented, report_config(), ({"seed": "1"}, {"git commit": "abc"}), layout)
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


def test_where_no_tissue_was_segmented_the_report_is_written_and_their_plot_says_so(results, phantom, layout):
    unsegmented = [replace(result, shown_slices=shown_slices(phantom.data)) for result in results]
    write_report(unsegmented, report_config(), ({}, {}), layout)
    drawn = {path.stem for path in layout.report("evaluate").glob("*.png")}
    assert drawn == set(FIGURES)
    assert (layout.report("evaluate") / "report.html").exists()


def test_with_two_data_sets_every_table_is_there_for_each_and_over_all(results, phantom, layout, tmp_path):
    cuts, names = shown_slices(phantom.data), {"sub-01": "ixi_2mm_sub-01", "sub-02": "b_sub-02", "sub-03": "b_sub-03"}
    for old, new in names.items():
        for path in list((tmp_path / "data").rglob(f"{old}*")):
            path.rename(path.with_name(path.name.replace(old, new)))
    segmented = [
        replace(
            result,
            subject=names[result.subject],
            shown_slices=cuts,
            metrics=result.metrics | ({"dice.csf": 0.8} if result.code == "111" else {}),
        )
        for result in results
    ]
    tracked = write_report(segmented, report_config(), ({}, {}), layout)
    folder = layout.report("evaluate")
    summary, metrics = (json.loads((folder / name).read_text()) for name in ("summary.json", "metrics.json"))
    expected = {"111": 27, "ixi_2mm/111": 26, "b/111": 27.5}
    for code, psnr in expected.items():
        assert summary["coarse"][code]["psnr"]["mean"] == pytest.approx(psnr)
        assert tracked[f"test.coarse.{code}.psnr"] == pytest.approx(psnr)
    gains = json.loads((folder / "gains.json").read_text())["coarse"]["n4"]
    assert gains["b/111"]["psnr"]["mean"] == gains["111"]["psnr"]["mean"] == pytest.approx(5)
    assert {name: found["coarse"]["psnr"] for name, found in metrics.pop("datasets").items()} == {
        "ixi_2mm": pytest.approx(26),
        "b": pytest.approx(27.5),
    }
    assert metrics["coarse"]["psnr"] == pytest.approx(27)
    rows = {name: (folder / name).read_text().splitlines() for name in ("psnr_by_code.csv", "dice.csv")}
    assert [row.split(",")[0] for row in rows["psnr_by_code.csv"]] == [
        *("code", "111", "010", "000", "b/111", "b/010", "b/000", "ixi_2mm/111", "ixi_2mm/010", "ixi_2mm/000")
    ]
    assert [row.split(",")[0] for row in rows["dice.csv"]] == ["region", "CSF", "b/CSF", "ixi_2mm/CSF"]
    for text in ((layout.reports / "results.md").read_text(), (folder / "report.html").read_text()):
        for part in ("all data sets (3 subjects)", "b (2 subjects)", "ixi_2mm (1 subject)"):
            for title in ("Everything measured, code 111", "PSNR by degradation, whole grid / brain (dB)"):
                assert f"{title}, {part}" in text


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
