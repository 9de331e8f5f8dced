import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bmenet.evaluation.pages import layers
from bmenet.evaluation.pages.page import software_versions, weights_origin
from bmenet.evaluation.pages.scan_page import before_after_picture, quality_table, scan_page
from bmenet.evaluation.quality import MEASURES
from bmenet.evaluation.quality.scans import Quality, ScanQuality
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.registration import Registration
from bmenet.restoration.enhanced import Enhanced
from bmenet.runtime.files import write_json


@pytest.fixture
def before(phantom: Volume) -> Volume:
    return phantom.with_data(phantom.data * 100 - 1)


def enhanced(volume: Volume, std: Volume | None = None) -> Enhanced:
    def scan(of: Volume) -> Scan:
        return Scan(of, of.data.shape, nib.Nifti1Header(), np.dtype(np.float32))

    registration = Registration(np.eye(4), 0.87, "ants")
    timings = {"find the brain": 2.0, "restore": 3.5}
    brain = Brain(volume.data > 30, False, "deepbet")
    return Enhanced(scan(volume), registration, brain, False, timings, None if std is None else scan(std))


def test_a_scan_page_shows_after_minus_before_and_the_spread_of_samples(before):
    page = scan_page(before, enhanced(before.with_data(before.data + 7), before), {}, {})
    assert [(layer.name, layer.kind) for layer in page.layers] == [
        ("before", "image"),
        ("after", "image"),
        ("after − before", "difference"),
        ("uncertainty: std of the samples", "uncertainty"),
    ]
    np.testing.assert_allclose(page.layers[2].volume.data[before.data > 0], 7, atol=1e-4)
    assert page.layers[0].volume.data.min() == 0, "what is below 0 counts as 0 in the enhancement, too"
    assert len(scan_page(before, enhanced(before), {}, {}).layers) == 3


def test_a_scan_page_tells_how_it_came_about_and_measures_what_changed(before):
    data = before.data.copy()
    data[20, 28, 20:24] += np.float32([1, 2, 3, -4])
    page = scan_page(before, enhanced(before.with_data(data)), {"seed": "3"}, {"weights": "abc"}, notes=["a guess"])
    assert (page.settings, page.origin) == ({"seed": "3"}, {"weights": "abc"})
    assert "A guess." in page.notes
    tables = {table.title: table for table in page.tables}
    assert "similarity 0.87" in tables["Steps"].note
    change = tables["What changed"]
    values = {name: float(value) for name, value, _ in change.cells.to_numpy()}
    assert values["Mean absolute change"] == pytest.approx(2.5, rel=1e-3)
    assert values["Greatest"] == pytest.approx(4, rel=1e-3)
    assert values["Mean change, signed"] == pytest.approx(0.5, rel=1e-2)


def test_the_still_picture_is_the_same_however_the_voxels_are_stored(before, tmp_path):
    stored, affine = before.data[::-1, ::-1], before.affine @ np.diag([-1.0, -1, 1, 1])
    affine[:2, 3] += [4 * (extent - 1) for extent in stored.shape[:2]]
    after = stored * (stored > 30)
    expected = before_after_picture(before, before.with_data(before.data * (before.data > 30)))
    assert before_after_picture(Volume(stored, affine), Volume(after, affine)) == expected
    (tmp_path / "picture.png").write_bytes(expected)
    assert np.asarray(Image.open(tmp_path / "picture.png").convert("L")).std() > 20


def test_the_still_picture_is_the_same_in_whatever_order_the_axes_of_longer_voxels_are_stored(before):
    flat = Volume(before.data[:, ::2], before.affine @ np.diag([1.0, 2, 1, 1]))
    turned = Volume(flat.data.transpose(1, 2, 0), flat.affine[:, [1, 2, 0, 3]])
    expected, got = (
        before_after_picture(volume, volume.with_data(volume.data * (volume.data > 30))) for volume in (flat, turned)
    )
    assert got == expected


def test_of_a_scan_of_many_voxels_the_greatest_change_is_found_wherever_it_is(before, monkeypatch):
    monkeypatch.setattr(layers, "_MANY_VOXELS", 10)
    data = before.data.copy()
    data[10:30, 20:40, 15:30] += 1
    data[21, 29, 21] += 8
    change = scan_page(before, enhanced(before.with_data(data)), {}, {}).tables[0]
    values = {name: float(value) for name, value, _ in change.cells.to_numpy()}
    assert values["Greatest"] == pytest.approx(9, rel=1e-3)
    assert values["95th percentile of it"] == pytest.approx(1, rel=1e-3)


def test_brightness_is_known_where_every_other_slice_is_empty(before, monkeypatch):
    monkeypatch.setattr(layers, "_MANY_VOXELS", 10)
    data = np.zeros_like(before.data)
    data[..., 1::2] = before.data[..., 1::2]
    page = scan_page(before.with_data(data), enhanced(before.with_data(2 * data)), {}, {})
    bright = float(np.percentile(data[data > 0], 99))
    assert f"{bright:.4g}" in page.tables[0].note


def test_the_quality_table_has_every_measure_and_says_why_one_is_missing():
    def scan(value: float, litres: float) -> ScanQuality:
        values = dict.fromkeys(MEASURES, value) | {"cnr": None}
        return ScanQuality(Quality(values, {"cnr": "no air"}), False, litres, (1.0, 1.0, 1.0), ())

    table = quality_table(scan(1.0, 1.2), scan(1.5, 1.0))
    rows = {name.split(":")[0]: others for name, *others in table.cells.to_numpy().tolist()}
    assert list(rows) == list(MEASURES)
    assert rows["snr_wm"] == ["1.000", "1.500", "+0.500", "higher"]
    assert "no air." in table.note
    assert "differ in size" in table.note


def test_the_origin_tells_the_weights_by_checksum_and_not_by_place(tmp_path):
    folder = tmp_path / "JaneDoe19" / "coarse"
    lineage = {"profile": "smoke", "seed": 0, "val_loss": 0.123456789, "config": {"a": 1}}
    write_json(folder / "model.json", {"kind": "coarse", "sha256": "ab" * 32, "spacing_mm": 4, "lineage": lineage})
    write_json(folder.with_name("field") / "model.json", {"kind": "field", "sha256": "cd" * 32})
    told = weights_origin([folder, folder.with_name("field")])
    assert told["field: weights SHA-256"] == "cd" * 32
    assert told["coarse: trained at"] == "4 mm"
    assert told["coarse: weights SHA-256"] == "ab" * 32
    assert told["coarse: profile"] == "smoke"
    assert "JaneDoe19" not in str(told)
    assert {"bmenet", "torch", "monai"} <= set(software_versions())
