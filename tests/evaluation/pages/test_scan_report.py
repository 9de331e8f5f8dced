import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bmenet.evaluation.pages.lineage import flat, software_versions, weights_lineage
from bmenet.evaluation.pages.picture import before_after_picture
from bmenet.evaluation.pages.quality_table import quality_table
from bmenet.evaluation.pages.scan_report import Course, scan_page
from bmenet.evaluation.quality import MEASURES
from bmenet.imaging.volume import Volume


@pytest.fixture
def course() -> Course:
    return Course(0.87, "ants", False, False, {"find the brain": 2.0, "restore": 3.5})


@pytest.fixture
def before(phantom: Volume) -> Volume:
    return phantom.with_data(phantom.data * 100 - 1)


def test_a_scan_page_shows_after_minus_before(before, course):
    after = before.with_data(before.data + 7)
    page = scan_page(before, after, None, course, {}, {})
    assert [(layer.name, layer.kind) for layer in page.layers] == [
        ("before", "image"),
        ("after", "image"),
        ("after − before", "difference"),
    ]
    inside = before.data > 0
    np.testing.assert_allclose(page.layers[2].volume.data[inside], 7, atol=1e-4)
    assert page.layers[0].volume.data.min() == 0  # what is below 0 counts as 0 in the enhancement, too


def test_a_scan_page_has_the_spread_where_there_were_samples(before, course):
    page = scan_page(before, before, before, course, {}, {})
    assert page.layers[-1].kind == "uncertainty"


def test_a_scan_page_tells_how_it_came_about(before, course):
    page = scan_page(before, before, None, course, {"seed": "3"}, {"weights": "abc"}, notes=["left and right: a guess"])
    (steps,) = (table for table in page.tables if table.title == "Steps")
    assert ["Restore", "3.5 s"] in steps.rows
    assert ["Together", "5.5 s"] in steps.rows
    assert "similarity 0.87" in steps.note
    assert "Whole head" in page.subtitle
    assert (page.settings, page.lineage) == ({"seed": "3"}, {"weights": "abc"})
    assert "Left and right: a guess." in page.notes


def test_a_scan_page_measures_what_changed(before, course):
    data = before.data.copy()
    data[20, 28, 20:24] += np.float32([1, 2, 3, -4])
    page = scan_page(before, before.with_data(data), None, course, {}, {})
    (change,) = (table for table in page.tables if table.title == "What changed")
    values = {name: float(value) for name, value, _ in change.rows}
    assert values["Mean absolute change"] == pytest.approx(2.5, rel=1e-3)
    assert values["Greatest"] == pytest.approx(4, rel=1e-3)
    assert values["Mean change, signed"] == pytest.approx(0.5, rel=1e-2)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1)])
def test_the_still_picture_is_the_same_however_the_voxels_are_stored(before, flips, tmp_path):
    stored = before.data[:: flips[0], :: flips[1], :: flips[2]]
    affine = before.affine @ np.diag([*flips, 1.0])
    affine[:3, 3] += [4 * (extent - 1) * (flip < 0) for extent, flip in zip(stored.shape, flips, strict=True)]
    after = stored * (stored > 30)
    expected = before_after_picture(before, before.with_data(before.data * (before.data > 30)))
    assert before_after_picture(Volume(stored, affine), Volume(after, affine)) == expected
    (tmp_path / "picture.png").write_bytes(expected)
    assert np.asarray(Image.open(tmp_path / "picture.png").convert("L")).std() > 20


def test_the_still_picture_has_square_pixels(before, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "bmenet.evaluation.pages.picture.draw_tiles", lambda rows, columns: drawn.append(rows) or Figure()
    )
    thick = Volume(before.data[:, :, ::3], before.affine @ np.diag([1, 1, 3, 1]))
    before_after_picture(thick, thick)
    axial, coronal, _ = (row[0].pixels.shape for row in drawn[0])
    assert axial == (56, 40)
    assert coronal == (3 * 14, 40)


def test_the_quality_table_has_every_measure_and_says_why_one_is_missing():
    before = dict.fromkeys(MEASURES, 1.0) | {"cnr": None}
    after = dict.fromkeys(MEASURES, 1.5) | {"cnr": None}
    changes = dict.fromkeys(MEASURES, 0.5) | {"cnr": None}
    table = quality_table(before, after, changes, {"cnr": "no air"}, ("the brains differ",))
    rows = {row[0].split(":")[0]: row[1:] for row in table.rows}
    assert list(rows) == list(MEASURES)
    assert rows["snr_wm"] == ["1.000", "1.500", "+0.500", "higher"]
    assert rows["cnr"] == ["–", "–", "–", "higher"]
    assert rows["cjv"][-1] == "lower"
    assert "no air." in table.note
    assert "the brains differ." in table.note


def test_lineage_tells_the_weights_by_checksum_and_not_by_place(tmp_path):
    from bmenet.runtime.files import write_json

    folder = tmp_path / "JaneDoe19" / "coarse"
    lineage = {"profile": "smoke", "seed": 0, "val_loss": 0.123456789, "config": {"a": 1}}
    write_json(folder / "model.json", {"kind": "coarse", "sha256": "ab" * 32, "spacing_mm": 4, "lineage": lineage})
    told = weights_lineage([folder])
    assert told["coarse: weights SHA-256"] == "ab" * 32
    assert told["coarse: profile"] == "smoke"
    assert told["coarse: val loss"] == "0.123457"
    assert "JaneDoe19" not in str(told)


def test_settings_become_dotted_names():
    assert flat({"steps": 1, "guidance": {"scale": 0.02}}, "sampling.") == {
        "sampling.steps": "1",
        "sampling.guidance.scale": "0.02",
    }


def test_versions_name_what_made_the_result():
    assert {"bmenet", "torch", "monai"} <= set(software_versions())
