import csv
import json
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from bmenet.evaluation.matched import report as report_module
from bmenet.evaluation.matched.person import PersonOutcome
from bmenet.evaluation.matched.report import by_severity, evaluate_people, write_matched_report
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result, results_table
from bmenet.evaluation.summary import summarise_gains
from bmenet.runtime.errors import BMENetError, VolumeError

EVALUATION = SimpleNamespace(seed=0, source=SimpleNamespace(base="/home/alice/ds004173"))
DONE = [SimpleNamespace(code="standard"), SimpleNamespace(code="headmotion1")]


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


def test_the_report_has_its_tables_numbers_and_picture_and_says_who_is_not_in_it(outcomes, tmp_path):
    record = write_matched_report(outcomes, {"sub-04": "VolumeError: no\nbrain"}, tmp_path, seed=0)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"results.md", "metrics.json", "volumes.csv", "before_after.png"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == record
    assert record["people"] == {"headmotion1": 2, "headmotion2": 1, "moved": 2, "score-3": 1, "standard": 2}
    assert record["metrics"]["coarse"]["headmotion1"]["psnr_brain"]["mean"] == 26
    assert record["gains"]["coarse"]["degraded"]["moved"]["psnr_brain"] == {"mean": 5, "low": 5, "high": 5}
    with open(tmp_path / "volumes.csv", newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 10
    text = (tmp_path / "results.md").read_text()
    told = "sub-02 headmotion2; sub-03 standard", "sub-04: VolumeError: no brain", "26.00 [25.00, 27.00]", "score 3"
    assert all(part in text for part in told)


def test_people_count_alike_however_many_scans_they_have_and_every_code_has_its_own_people():
    """The second person has no headmotion2; the network gains 4 dB on each moved scan."""
    psnr = {("sub-01", "standard"): 100.0, ("sub-02", "standard"): 100.0}
    psnr |= {("sub-01", "headmotion1"): 30.0, ("sub-01", "headmotion2"): 20.0, ("sub-02", "headmotion1"): 26.0}
    results = [
        Result(subject, code, method, dict.fromkeys(METRICS, 0.5) | {"psnr": value + gain}, 2.0, {})
        for (subject, code), value in psnr.items()
        for method, gain in (("degraded", 0), ("coarse", -60 if code == "standard" else 4))
    ]
    scores = {"sub-01": {"headmotion1": 2, "headmotion2": 3}, "sub-02": {"headmotion1": 3}}
    groups = by_severity(results_table(results), scores)
    means = {code: group[group["method"] == "degraded"]["psnr"].mean() for code, group in groups.items()}
    expected = {"headmotion1": 28, "headmotion2": 20, "moved": (25 + 26) / 2, "score-2": 30, "score-3": (20 + 26) / 2}
    assert means == expected | {"standard": 100}
    gains = summarise_gains(groups["score-3"], 100, 0, "coarse")["degraded"]["score-3"]["psnr"]
    assert (gains.mean, gains.low, gains.high) == (4, 4, 4), "paired, though people differ"


@pytest.fixture
def evaluate(monkeypatch, tmp_path):
    """Return a function that evaluates people of whom it is known what becomes, and returns who failed and why."""
    monkeypatch.setenv("BMENET_WORKERS", "1")
    monkeypatch.setattr(report_module, "write_matched_report", lambda outcomes, failures, folder, seed: failures)

    def run(*becomes):
        monkeypatch.setattr(report_module, "evaluate_person", Mock(side_effect=becomes))
        names = [f"sub-{number:02}" for number in range(1, 1 + len(becomes))]
        return evaluate_people(names, EVALUATION, tmp_path)

    return run


def test_failures_are_named_without_the_place_of_the_data_and_stop_only_a_report_without_moved_scans(evaluate):
    failed = PersonOutcome(DONE, failures={"headmotion2": "resembles nobody"})
    assert evaluate(VolumeError("/home/alice/ds004173/sub-01/x.nii: cut"), failed) == {
        "sub-01": "VolumeError: sub-01/x.nii: cut",
        "sub-02 headmotion2": "resembles nobody",
    }
    with pytest.raises(BMENetError, match=r"got none of 1: sub-01 headmotion1 \(resembles nobody\)"):
        evaluate(PersonOutcome(DONE[:1], failures={"headmotion1": "resembles nobody"}))


def test_who_is_skipped_is_told_with_the_reason(evaluate, capsys):
    lacking = ("headmotion1", "headmotion2")
    evaluate(PersonOutcome(DONE, lacking[:1]), PersonOutcome([], ("standard",)), PersonOutcome([], lacking))
    told = capsys.readouterr().err
    assert [told.count(part) for part in ("no still scan", "no moved scan", "4 of 9 scans")] == [1, 1, 1]
