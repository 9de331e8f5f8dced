import json

import nibabel as nib
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bmenet.cli.evaluate import evaluate
from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain_extraction import Brain

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture(autouse=True)
def lone_brain(monkeypatch):
    """Spare the brain extraction: all that is bright is brain."""
    monkeypatch.setattr("bmenet.evaluation.files.find_brain", lambda volume: Brain(volume.data > 0, True, "background"))


@pytest.fixture
def scans(tmp_path, phantom, generator):
    clean = np.clip(phantom.data * (1 + 0.05 * generator.standard_normal(phantom.data.shape)), 0, 1).astype(np.float32)
    paths = tmp_path / "enhanced.nii.gz", tmp_path / "clean.nii.gz"
    for path, data in zip(paths, (clean + np.float32(0.1), clean), strict=True):
        nib.save(nib.Nifti1Image(data, phantom.affine), path)
    return [str(path) for path in paths]


def test_evaluate_prints_json_with_every_metric(scans):
    answer = CliRunner().invoke(app, [*scans, "--json"])
    assert answer.exit_code == 0
    values = json.loads(answer.stdout)
    assert set(values) == {*METRICS, "intensity_scale"}
    assert values["psnr"] == pytest.approx(20, abs=0.01)


def test_evaluate_prints_a_line_per_metric(scans):
    answer = CliRunner().invoke(app, scans)
    assert [line.split()[0] for line in answer.stdout.splitlines()] == list(METRICS)


def test_evaluate_of_a_missing_file_exits_with_one_line(scans, tmp_path):
    answer = CliRunner().invoke(app, [str(tmp_path / "none.nii"), scans[1]])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("bmenet: ")
    assert len(answer.stderr.splitlines()) == 1


def test_evaluate_says_on_stderr_that_it_looked_for_the_brain_of_a_head(scans, monkeypatch):
    monkeypatch.setattr("bmenet.evaluation.files.find_brain", lambda volume: Brain(volume.data > 0, False, "deepbet"))
    answer = CliRunner().invoke(app, [*scans, "--json"])
    assert "a whole head: the _brain metrics cover the brain that was found in it" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert set(json.loads(answer.stdout)) == {*METRICS, "intensity_scale"}


def test_evaluate_takes_a_mask(scans, tmp_path):
    clean = nib.load(scans[1])
    mask = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image((np.asarray(clean.dataobj) > 0.6).astype(np.uint8), clean.affine), mask)
    whole, masked = (
        json.loads(CliRunner().invoke(app, [*scans, "--json", *options]).stdout)
        for options in ([], ["--mask", str(mask)])
    )
    assert masked["psnr"] == whole["psnr"]
    assert masked["ssim_brain"] != whole["ssim_brain"]
