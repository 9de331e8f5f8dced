"""The gate lets a model pass that is better on the same subjects beyond chance, and no other; it says why."""

import math

import numpy as np
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.release.gate import decide
from bmenet.runtime.errors import BMENetError

CHAMPION = {f"sub-{number}": 25.0 + number for number in range(8)}
PSNR, HFEN = METRICS["psnr_brain"], METRICS["hfen_brain"]


def _decide(candidate, champion=CHAMPION, metric=PSNR, resamples=500):
    return decide(candidate, champion, metric, resamples, np.random.default_rng(0))


def _shifted(*gains):
    return {subject: value + gain for (subject, value), gain in zip(CHAMPION.items(), gains, strict=True)}


@pytest.mark.parametrize(
    ("gains", "metric", "is_promoted", "reason"),
    [
        ([0.5, 0.6, 0.4, 0.5, 0.7, 0.3, 0.5, 0.5], PSNR, True, "better"),
        ([-0.5, -0.4] * 4, PSNR, False, "worse"),
        ([3.0, -1.0] * 4, PSNR, False, "the interval contains 0"),
        ([0.1] * 7 + [-2.0], PSNR, False, "the interval contains 0"),
        ([-0.05, -0.06] * 4, HFEN, True, "better"),  # of which less is better
        ([0.05, 0.06] * 4, HFEN, False, "worse"),
    ],
)
def test_a_model_is_promoted_that_is_better_beyond_chance(gains, metric, is_promoted, reason):
    decision = _decide(_shifted(*gains), metric=metric)
    assert decision.is_promoted is is_promoted
    assert reason in decision.reasons[0]
    sign = 1 if metric is PSNR else -1
    assert decision.gain.mean == pytest.approx(sign * np.mean(gains))
    assert decision.gain.low <= decision.gain.mean <= decision.gain.high
    assert (decision.gain.low > 0, decision.gain.high < 0) == (reason == "better", reason == "worse")


def test_subjects_are_paired_so_that_a_small_gain_counts_among_large_differences_of_people():
    spread = {f"sub-{number}": 10.0 * number for number in range(8)}
    better = {subject: value + 0.01 * (1 + number % 2) for number, (subject, value) in enumerate(spread.items())}
    assert _decide(better, spread).is_promoted
    reordered = dict(reversed(better.items()))
    assert _decide(reordered, spread) == _decide(better, spread)


@pytest.mark.parametrize(
    ("candidate", "champion", "reason"),
    [
        ({"sub-0": 25.0}, {"sub-0": 20.0}, "one validation subject (gain +5) has no interval"),
        (
            {"sub-0": 90.0, "sub-Jane": 90.0},
            CHAMPION,
            "other validation subjects (8, of which 1 are the",
        ),
    ],
)
def test_one_subject_or_others_promote_nothing_and_are_not_named(candidate, champion, reason):
    decision = _decide(candidate, champion)
    assert not decision.is_promoted
    assert reason in decision.reasons[0]
    assert "Jane" not in str(decision)
    assert "bmenet registry promote" in decision.reasons[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad):
    for candidate, champion, message in (
        (CHAMPION | {"sub-3": bad}, CHAMPION, "finite values of the candidate; got 1 of 8 that are not"),
        (CHAMPION, CHAMPION | {"sub-3": bad}, "finite values of the champion; got 1 of 8 that are not"),
        ({"sub-0": bad}, None, "finite values of the candidate"),
        ({}, None, "values of the candidate on one or more validation subjects"),
    ):
        with pytest.raises(BMENetError, match=f"expected {message}"):
            _decide(candidate, champion)
