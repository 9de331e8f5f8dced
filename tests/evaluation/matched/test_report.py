import csv
import json

import numpy as np
import pytest

from bmenet.evaluation.matched.person import PersonOutcome
from bmenet.evaluation.matched.report import write_matched_report
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result


def results_of(subject, codes, better=0.0):
    slices = {plane: np.full((6, 5), 0.5) for plane in ("sagittal", "coronal", "axial")}
    return [
        Result(subject, code, method, dict.fromkeys(METRICS, 0.5) | {"psnr_brain": psnr + better}, 2.0, slices)
        for code in codes
        for method, psnr in (("degraded", 20.0), ("coarse", 25.0))
    ]


@pytest.fixture
def outcomes():
    return {
        "sub-01": PersonOutcome(
            results_of("sub-01", ("standard", "headmotion1", "headmotion2")), scores={"headmotion2": 3}
        ),
        "sub-02": PersonOutcome(results_of("sub-02", ("standard", "headmotion1"), 2.0), missing=("headmotion2",)),
        "sub-03": PersonOutcome([], missing=("standard",)),
    }


def test_the_report_has_its_tables_numbers_and_picture(outcomes, tmp_path):
    record = write_matched_report(outcomes, {}, tmp_path, seed=0)
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.md",
        "metrics.json",
        "volumes.csv",
        "before_after.png",
    }
    assert json.loads((tmp_path / "metrics.json").read_text()) == record
    assert record["people"] == {"headmotion1": 2, "headmotion2": 1, "moved": 2, "score-3": 1, "standard": 2}
    assert record["metrics"]["coarse"]["headmotion1"]["psnr_brain"]["mean"] == 26
    assert record["gains"]["coarse"]["degraded"]["moved"]["psnr_brain"] == {"mean": 5, "low": 5, "high": 5}
    with open(tmp_path / "volumes.csv", newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 10


def test_the_text_says_how_it_was_measured_and_who_is_not_in_it(outcomes, tmp_path):
    write_matched_report(outcomes, {"sub-04": "VolumeError: no\nbrain"}, tmp_path, seed=0)
    text = (tmp_path / "results.md").read_text()
    assert "least squares" in text
    assert "Not in the data set (2 scans): sub-02 headmotion2; sub-03 standard." in text
    assert "**Failed, and left out (1)**: sub-04: VolumeError: no brain" in text
    assert "| BMENet, coarse | 26.00 [25.00, 27.00] |" in text
    assert "| degraded input | +5.00 [+5.00, +5.00] |" in text
    assert "radiologists called bad (score 3)" in text


def test_the_same_results_give_the_same_text(outcomes, tmp_path):
    for name in ("a", "b"):
        write_matched_report(outcomes, {}, tmp_path / name, seed=3)
    assert (tmp_path / "a" / "results.md").read_text() == (tmp_path / "b" / "results.md").read_text()


def test_without_headmotion2_the_picture_shows_headmotion1(outcomes, tmp_path):
    write_matched_report({"sub-02": outcomes["sub-02"]}, {}, tmp_path, seed=0)
    assert (tmp_path / "before_after.png").stat().st_size > 0
    assert "stronger motion" not in (tmp_path / "results.md").read_text()
