import json

import nibabel as nib
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bmenet.cli.qc import qc
from bmenet.evaluation.quality import MEASURES
from bmenet.imaging.brain_extraction import Brain

app = typer.Typer()
app.command()(qc)

STRIPPED_NONE = ["snrd_total", "cnr", "efc"]


@pytest.fixture(autouse=True)
def known_regions(monkeypatch, phantom):
    """Spare the brain extraction and the segmentation of the phantom, a stripped brain."""
    tissues = np.select([phantom.data == 0.15, phantom.data == 0.5, phantom.data > 0.8], [1, 2, 3], 0)
    tissues = np.where(np.isclose(phantom.data, 0.15), 1, tissues).astype(np.uint8)
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


def test_qc_prints_json_with_every_measure_and_the_reasons(scan_paths):
    answer = CliRunner().invoke(app, [scan_paths[0], "--json"])
    assert answer.exit_code == 0
    values = json.loads(answer.stdout)
    assert list(values) == [*MEASURES, "is_skull_stripped", "brain_litres", "reasons"]
    assert values["is_skull_stripped"] is True
    assert [name for name in MEASURES if values[name] is None] == list(values["reasons"]) == STRIPPED_NONE


def test_qc_of_two_scans_prints_before_after_and_change(scan_paths):
    pair = json.loads(CliRunner().invoke(app, [*scan_paths, "--json"]).stdout)
    assert list(pair) == ["before", "after", "change"]
    for key, path in zip(("before", "after"), scan_paths, strict=True):
        assert pair[key] == json.loads(CliRunner().invoke(app, [path, "--json"]).stdout)
    assert list(pair["change"]) == list(MEASURES)
    assert pair["change"]["cjv"] == pytest.approx(pair["after"]["cjv"] - pair["before"]["cjv"])
    assert pair["change"]["cjv"] < 0 < pair["change"]["snr_wm"]
    assert pair["change"]["efc"] is None


def test_qc_prints_a_line_per_measure_and_why_some_are_missing(scan_paths):
    answer = CliRunner().invoke(app, scan_paths)
    heading, *lines = answer.stdout.splitlines()
    assert heading.split() == ["measure", "before", "after", "change", "better"]
    rows = [line.split() for line in lines[: len(MEASURES)]]
    assert [row[0] for row in rows] == list(MEASURES)
    assert [row[4] for row in rows] == [
        "lower" if measure.lower_is_better else "higher" for measure in MEASURES.values()
    ]
    assert [row[0] for row in rows if row[1] == "–"] == STRIPPED_NONE
    assert rows[list(MEASURES).index("cjv")][3].startswith("-")
    assert lines[len(MEASURES) :] == [
        f"– snrd_total, cnr, efc {which}: skull-stripped: there is no air around the head in which noise and ghosts "
        "could be measured"
        for which in ("before", "after")
    ]


def test_qc_keeps_progress_and_notes_off_stdout(scan_paths, phantom):
    data = nib.load(scan_paths[0]).get_fdata()
    data[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, phantom.affine), scan_paths[0])
    answer = CliRunner().invoke(app, [scan_paths[0], "--json"])
    json.loads(answer.stdout)
    assert "warning: " in answer.stderr
    assert "before.nii.gz" in answer.stderr


def test_qc_of_a_missing_file_exits_with_one(tmp_path):
    answer = CliRunner().invoke(app, [str(tmp_path / "none.nii")])
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[-1].startswith("bmenet: ")
