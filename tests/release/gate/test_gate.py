"""The gate lets a model pass that is better on the same subjects beyond chance, and no other; it says why."""

import math

import numpy as np
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.release.gate.gate import decide
from bmenet.runtime.errors import BMENetError

CHAMPION = {f"sub-{number}": 25.0 + number for number in range(8)}
PSNR, HFEN = METRICS["psnr_brain"], METRICS["hfen_brain"]


def _decide(candidate, champion=CHAMPION, metric=PSNR, resamples=500):
    return decide(candidate, champion, metric, resamples, np.random.default_rng(0))


def _shifted(*gains):
    return {subject: value + gain for (subject, value), gain in zip(CHAMPION.items(), gains, strict=True)}


def test_the_first_model_becomes_champion():
    decision = _decide({"sub-0": 20.0}, None)
    assert decision.is_promoted
    assert decision.gain is None
    assert decision.reasons == ("there was no champion: the first model becomes it",)


def test_a_model_that_is_better_on_every_subject_is_promoted():
    decision = _decide(_shifted(0.5, 0.6, 0.4, 0.5, 0.7, 0.3, 0.5, 0.5))
    assert decision.is_promoted
    assert decision.gain.mean == pytest.approx(0.5)
    assert 0 < decision.gain.low < 0.5 < decision.gain.high
    assert decision.reasons[0].startswith("better than the champion: mean gain +0.5, 95 % interval +0.4")
    assert decision.reasons[0].endswith("8 subjects")


def test_subjects_are_paired_so_that_a_small_gain_counts_among_large_differences_of_people():
    spread = {f"sub-{number}": 10.0 * number for number in range(8)}
    better = {subject: value + 0.01 * (1 + number % 2) for number, (subject, value) in enumerate(spread.items())}
    assert _decide(better, spread).is_promoted
    reordered = dict(reversed(better.items()))
    assert _decide(reordered, spread) == _decide(better, spread)


def test_a_worse_model_is_kept_out():
    decision = _decide(_shifted(*[-0.5, -0.4] * 4))
    assert not decision.is_promoted
    assert decision.gain.high < 0
    assert decision.reasons[0].startswith("worse than the champion: mean gain -0.45")


@pytest.mark.parametrize("gains", [[0.0] * 8, [3.0, -1.0] * 4, [0.1] * 7 + [-2.0]])
def test_a_gain_whose_interval_contains_zero_is_not_enough(gains):
    decision = _decide(_shifted(*gains))
    assert not decision.is_promoted
    assert decision.gain.low <= 0 <= decision.gain.high
    assert "the interval contains 0" in decision.reasons[0]


@pytest.mark.parametrize(("change", "is_promoted"), [(-0.05, True), (0.05, False)])
def test_of_a_metric_where_lower_is_better_a_fall_is_the_gain(change, is_promoted):
    decision = _decide(_shifted(*[change, change * 1.2] * 4), metric=HFEN)
    assert decision.is_promoted is is_promoted
    assert (decision.gain.mean > 0) is is_promoted


@pytest.mark.parametrize("gain", [5.0, -5.0])
def test_one_subject_has_no_interval_and_promotes_nothing(gain):
    decision = _decide({"sub-0": 20.0 + gain}, {"sub-0": 20.0})
    assert not decision.is_promoted
    assert f"one validation subject (gain {gain:+g}) has no interval" in decision.reasons[0]
    assert "bmenet registry promote" in decision.reasons[1]


def test_other_subjects_cannot_be_compared_and_are_not_named():
    decision = _decide({"sub-0": 90.0, "sub-Jane": 90.0})
    assert not decision.is_promoted
    assert "other validation subjects (8, of which 1 are the candidate's 2)" in decision.reasons[0]
    assert "Jane" not in str(decision)
    assert "bmenet registry promote" in decision.reasons[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(BMENetError, match="expected finite values of the candidate; got 1 of 8 that are not"):
        _decide(CHAMPION | {"sub-3": bad})
    with pytest.raises(BMENetError, match="expected finite values of the champion; got 1 of 8 that are not"):
        _decide(CHAMPION, CHAMPION | {"sub-3": bad})
    with pytest.raises(BMENetError, match="finite values of the candidate"):
        _decide({"sub-0": bad}, None)


def test_no_subject_is_refused():
    with pytest.raises(BMENetError, match="on one or more validation subjects; got none"):
        _decide({}, None)
