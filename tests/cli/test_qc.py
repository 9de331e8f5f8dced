import json

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.quality import MEASURES
from bmenet.imaging.brain_extraction import Brain

STRIPPED_NONE = ["snrd_total", "cnr", "efc"]


@pytest.fixture(autouse=True)
def known_regions(monkeypatch, phantom):
    """Spare the brain extraction and the segmentation of the phantom, a stripped brain."""
    tissues = np.select([np.isclose(phantom.data, level) for level in (0.15, 0.5, 0.85)], [1, 2, 3], 0).astype(np.uint8)
    monkeypatch.setattr(
        "bmenet.evaluation.quality.scans.find_brain", lambda volume, device: Brain(phantom.data > 0, True, "background")
    )
    monkeypatch.setattr("bmenet.evaluation.quality.scans.find_tissues", lambda volume, brain_mask: tissues)


@pytest.fixture
def scan_paths(tmp_path, phantom, generator):
    """The phantom with much noise, and with little."""
    noise = generator.standard_normal(phantom.data.shape)
    paths = []
    for name, sigma in (("before", 0.1), ("after", 0.03)):
        data = np.where(phantom.data > 0, np.abs(phantom.data + sigma * noise), 0).astype(np.float32)
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        nib.save(nib.Nifti1Image(data, phantom.affine), paths[-1])
    return paths


def test_qc_prints_json_with_every_measure_and_the_reasons(bmenet, scan_paths):
    answer = bmenet("qc", scan_paths[0], "--json")
    assert answer.exit_code == 0
    values = json.loads(answer.stdout)
    assert list(values) == [*MEASURES, "is_skull_stripped", "brain_litres", "reasons"]
    assert values["is_skull_stripped"] is True
    assert [name for name in MEASURES if values[name] is None] == list(values["reasons"]) == STRIPPED_NONE
    assert "before.nii.gz" in answer.stderr
    missing = bmenet("qc", scan_paths[0] + "none")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.splitlines()[-1].startswith("bmenet: ")


def test_qc_of_two_scans_prints_before_after_and_change(bmenet, scan_paths):
    pair = json.loads(bmenet("qc", *scan_paths, "--json").stdout)
    assert list(pair) == ["before", "after", "change"]
    for key, path in zip(("before", "after"), scan_paths, strict=True):
        assert pair[key] == json.loads(bmenet("qc", path, "--json").stdout)
    assert list(pair["change"]) == list(MEASURES)
    assert pair["change"]["cjv"] == pytest.approx(pair["after"]["cjv"] - pair["before"]["cjv"])
    assert pair["change"]["cjv"] < 0 < pair["change"]["snr_wm"]
    assert pair["change"]["efc"] is None
    heading, *rows = bmenet("qc", *scan_paths).stdout.splitlines()
    assert heading.split() == ["measure", "before", "after", "change", "better"]
    assert [row.split()[0] for row in rows[: len(MEASURES)]] == list(MEASURES)
