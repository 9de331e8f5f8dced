import numpy as np
import pytest

from bmenet.evaluation.bootstrap import bootstrap_mean


def test_bootstrap_mean_matches_the_normal_interval_of_many_subjects(generator):
    values = generator.normal(20, 2, size=400)
    interval = bootstrap_mean(values, 4000, generator)
    half_width = 1.96 * values.std() / np.sqrt(values.size)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.03)


def test_bootstrap_mean_of_one_subject_is_that_subject(generator):
    assert bootstrap_mean(np.array([3.5]), 100, generator).as_dict() == {"mean": 3.5, "low": 3.5, "high": 3.5}


def test_bootstrap_mean_of_none_is_refused(generator):
    with pytest.raises(ValueError, match="one or more subjects"):
        bootstrap_mean(np.array([]), 100, generator)
