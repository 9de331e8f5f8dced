import json

import nibabel as nib
import numpy as np
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain_extraction import Brain


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
    assert len(answer.stderr.splitlines()) == 1
    assert [line.split()[0] for line in bmenet("evaluate", *scans).stdout.splitlines()] == list(METRICS)
    masked = json.loads(bmenet("evaluate", *scans, "--json", "--mask", scans[0].with_name("mask.nii.gz")).stdout)
    assert masked["psnr"] == values["psnr"]
    assert masked["ssim_brain"] != values["ssim_brain"]


def test_evaluate_of_a_missing_file_exits_with_one_line(bmenet, scans):
    answer = bmenet("evaluate", scans[0].with_name("none.nii"), scans[1])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("bmenet: ")
    assert len(answer.stderr.splitlines()) == 1
