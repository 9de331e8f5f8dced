"""`bmenet evaluate` and `bmenet dice`."""

import json

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain_extraction import Brain

AFFINE = np.diag([-2.0, -2, 2, 1])


@pytest.fixture(autouse=True)
def lone_brain(monkeypatch):
    """Spare the brain extraction: all that is bright is the brain of a head."""
    monkeypatch.setattr("bmenet.evaluation.files.find_brain", lambda volume: Brain(volume.data > 0, False, "deepbet"))


@pytest.fixture
def scans(tmp_path, phantom, generator):
    clean = np.clip(phantom.data * (1 + 0.05 * generator.standard_normal(phantom.data.shape)), 0, 1).astype(np.float32)
    mask = (clean > 0.6).astype(np.uint8)
    for name, data in (("enhanced", clean + np.float32(0.1)), ("clean", clean), ("mask", mask)):
        nib.save(nib.Nifti1Image(data, phantom.affine), tmp_path / f"{name}.nii.gz")
    return tmp_path / "enhanced.nii.gz", tmp_path / "clean.nii.gz"


def test_evaluate_prints_every_metric_and_says_on_stderr_that_it_looked_for_a_brain(bmenet, scans):
    answer = bmenet("evaluate", *scans, "--json")
    assert answer.exit_code == 0
    values = json.loads(answer.stdout)
    assert set(values) == {*METRICS, "intensity_scale"}
    assert values["psnr"] == pytest.approx(20, abs=0.01)
    assert "a whole head" in answer.stderr
    assert "the background lies at" in answer.stderr
    assert len(answer.stderr.splitlines()) == 2
    assert [line.split()[0] for line in bmenet("evaluate", *scans).stdout.splitlines()] == list(METRICS)
    masked = json.loads(bmenet("evaluate", *scans, "--json", "--mask", scans[0].with_name("mask.nii.gz")).stdout)
    assert masked["psnr"] == values["psnr"]
    assert masked["ssim_brain"] != values["ssim_brain"]


def test_evaluate_of_a_missing_file_exits_with_one_line(bmenet, scans):
    answer = bmenet("evaluate", scans[0].with_name("none.nii"), scans[1])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("bmenet: ")
    assert len(answer.stderr.splitlines()) == 1


@pytest.fixture
def paths(tmp_path):
    """A segmentation with half of one hippocampus, and its reference with two."""
    reference = np.zeros((16, 16, 16), np.int16)
    reference[2:6, 4:8, 4:8] = 17
    reference[10:14, 4:8, 4:8] = 53
    labels = reference.copy()
    labels[2:4] = 0
    for name, values in (("a", labels), ("b", reference)):
        nib.save(nib.MGHImage(values, AFFINE), tmp_path / f"{name}.mgz")
    return tmp_path / "a.mgz", tmp_path / "b.mgz"


def test_dice_prints_flat_numbers_as_json(bmenet, paths):
    result = bmenet("dice", *paths, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    record = json.loads(result.stdout)
    assert record["labels"] == {"17": pytest.approx(2 / 3), "53": 1}
    assert record["mean_label_dice"] == pytest.approx(5 / 6)
    assert record["regions"] == {"limbic system": pytest.approx(2 * 96 / (96 + 128))}
    assert record["names"] == {"17": "Left-Hippocampus", "53": "Right-Hippocampus"}
    assert record["volumes_ml"]["17"] == pytest.approx({"a": 0.256, "b": 0.512})
    assert record["missing_in_b"] == []
    bare = bmenet("dice", *paths, "--json", "--labels", "none")
    assert json.loads(bare.stdout)["regions"] == {}
    table = bmenet("dice", *paths).stdout
    assert all(told in table for told in ("limbic system", "Left-Hippocampus", "0.6667", "0.8333"))


def test_dice_fails_in_one_line(bmenet, paths):
    paths[0].write_bytes(b"")
    result = bmenet("dice", *paths)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("bmenet: expected a label volume")
    assert result.stderr.count("\n") == 1
