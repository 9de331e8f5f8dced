import numpy as np
import pytest

from bmenet.evaluation.bootstrap import bootstrap_mean


def test_bootstrap_mean_matches_the_normal_interval_of_many_subjects(generator):
    values = generator.normal(20, 2, size=400)
    interval = bootstrap_mean(values, 4000, generator)
    half_width = 1.96 * values.std() / np.sqrt(values.size)
    expected = values.mean() - half_width, values.mean(), values.mean() + half_width
    assert (interval.low, interval.mean, interval.high) == pytest.approx(expected, abs=0.03)


def test_bootstrap_mean_of_one_subject_is_that_subject_and_of_none_is_refused(generator):
    assert bootstrap_mean(np.array([3.5]), 100, generator).as_dict() == {"mean": 3.5, "low": 3.5, "high": 3.5}
    with pytest.raises(ValueError, match="one or more subjects"):
        bootstrap_mean(np.array([]), 100, generator)
