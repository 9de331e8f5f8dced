import numpy as np
import pytest

from bmenet.evaluation.matched.summary import by_severity, summarise_matched, summarise_matched_gains
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result

SCORES = {"sub-01": {"headmotion1": 2, "headmotion2": 3}, "sub-02": {"headmotion1": 3}}


@pytest.fixture
def results() -> list[Result]:
    """Two people; the second has no headmotion2, and the network gains 4 dB on each moved scan."""
    psnr = {("sub-01", "headmotion1"): 30.0, ("sub-01", "headmotion2"): 20.0, ("sub-02", "headmotion1"): 26.0}
    psnr |= {("sub-01", "standard"): 100.0, ("sub-02", "standard"): 100.0}
    slices = {"axial": np.zeros((5, 4))}
    return [
        Result(subject, code, method, dict.fromkeys(METRICS, 0.5) | {"psnr": value + gain}, 2.0 + gain, slices)
        for (subject, code), value in psnr.items()
        for method, gain in (("degraded", 0), ("coarse", -60 if code == "standard" else 4))
    ]


def test_every_code_is_a_mean_over_its_own_people(results):
    summary = summarise_matched(by_severity(results, SCORES), 100, 0)["degraded"]
    means = {code: by_metric["psnr"].mean for code, by_metric in summary.items()}
    assert means == {
        "headmotion1": 28,
        "headmotion2": 20,
        "moved": (25 + 26) / 2,  # each person counts once
        "score-2": 30,
        "score-3": (20 + 26) / 2,
        "standard": 100,
    }


def test_people_count_alike_however_many_scans_they_have(results):
    moved = by_severity(results, {})["moved"]
    assert [(r.subject, r.metrics["psnr"], r.seconds) for r in moved if r.method == "coarse"] == [
        ("sub-01", 29, 6),
        ("sub-02", 30, 6),
    ]


def test_without_scores_nothing_is_told_by_score(results):
    assert list(by_severity(results, {})) == ["headmotion1", "headmotion2", "moved", "standard"]


def test_gains_are_paired_person_by_person(results):
    gains = summarise_matched_gains(by_severity(results, SCORES), 100, 0, "coarse")["degraded"]
    for code in ("headmotion1", "headmotion2", "moved", "score-3"):
        interval = gains[code]["psnr"]
        assert (interval.mean, interval.low, interval.high) == (4, 4, 4), "though people differ by 10 dB"
    assert gains["standard"]["psnr"].mean == -60
