from dataclasses import replace

import pytest

from bmenet.evaluation.result import results_table
from bmenet.evaluation.summary import UNNAMED, by_dataset, summarise, summarise_gains


def test_summarise_takes_the_mean_over_subjects(table):
    interval = summarise(table, 500, seed=1)["coarse"]["111"]["psnr"]
    assert interval.mean == pytest.approx(27)
    assert 26 <= interval.low < 27 < interval.high <= 28
    # The clean input is left out of all codes.
    assert summarise(table, 500, seed=1)["degraded"]["all"]["psnr"].mean == pytest.approx(26)


def test_summarise_gains_are_paired(table):
    gains = summarise_gains(table, 500, 1, "coarse")
    assert list(gains) == ["degraded", "n4"]
    # Every subject gains the same, however different the subjects are: the interval has no width.
    assert gains["n4"]["111"]["psnr"].as_dict() == pytest.approx({"mean": 5, "low": 5, "high": 5})


def test_summarise_is_the_same_for_a_seed_whatever_the_order_of_the_results(table):
    assert summarise(table, 200, seed=1) == summarise(table.iloc[::-1], 200, 1)


def test_a_metric_that_not_every_subject_has_is_left_out(results):
    for result in results:
        if result.subject != "sub-02" or result.code != "111":
            result.metrics["dice.csf"] = 0.5
    table = results_table(results)
    summary = summarise(table, 100, 1)["coarse"]
    assert "dice.csf" in summary["010"]
    assert "dice.csf" not in summary["111"]
    # Nor is there a mean over codes of which one lacks it.
    assert "dice.csf" not in summary["all"]
    assert "dice.csf" not in summarise_gains(table, 100, 1, "coarse")["n4"]["111"]


def test_results_are_grouped_by_the_data_sets_of_their_subjects_unless_there_is_but_one(results):
    assert by_dataset(results_table(results)) == {}
    ours = [replace(result, subject=f"ds000011_{result.subject}") for result in results]
    assert by_dataset(results_table(ours)) == {}
    groups = by_dataset(results_table([*ours, *results]))
    assert list(groups) == ["ds000011", UNNAMED]
    assert set(groups["ds000011"]["subject"]) == {result.subject for result in ours}
    assert [len(group) for group in groups.values()] == [len(results)] * 2
