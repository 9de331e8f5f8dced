"""What counts as better: gains, whichever way a metric points, and nothing that names a subject."""

import pytest

from bmenet.config.tune import TunedMetric
from bmenet.evaluation.metrics import METRICS
from bmenet.tuning.objective import Case, gain, sign
from tests.tuned import VALIDATION, plan_of

ALL = TunedMetric.__args__
LOWER_IS_BETTER = {"hfen", "hfen_brain"}


@pytest.mark.parametrize("metric", ALL)
def test_a_metric_that_improves_is_a_gain_whichever_way_it_points(metric):
    better = 0.4 if metric in LOWER_IS_BETTER else 0.6
    assert gain({metric: 2.0}, {metric: better}, {metric: 0.5}) == pytest.approx(0.2)
    assert gain({metric: 2.0}, {metric: 0.5}, {metric: better}) == pytest.approx(-0.2)
    assert sign(metric) == (-1 if metric in LOWER_IS_BETTER else 1)


def test_every_metric_can_be_weighed():
    assert set(ALL) == {*METRICS, "dice"}


def test_gains_add_up_by_weight_and_only_what_is_weighed_counts():
    restored, given = {"psnr": 21.0, "hfen": 0.3, "ssim": 0.0}, {"psnr": 20.0, "hfen": 0.2, "ssim": 1.0}
    assert gain({"psnr": 1.0, "hfen": 10.0}, restored, given) == pytest.approx(0.0)


def test_a_case_measures_only_what_the_composite_asks_for_and_names_nobody(tuned):
    plan = plan_of(tuned, tune__composites={"quality": {"psnr_brain": 1.0, "hfen": 10.0, "dice": 0.0}})
    case = Case(plan, *plan.cases[1])
    assert list(case.given_metrics) == ["psnr_brain", "hfen"]
    assert case.gain(case.given_metrics) == 0
    assert case.gain(case.measure(case.clean.data)) > 0
    assert VALIDATION[1] not in case.name
