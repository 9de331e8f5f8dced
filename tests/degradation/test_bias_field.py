"""The coil's field: ratio, mean, and smoothness."""

import numpy as np
import pytest

from bmenet.degradation import bias_field
from bmenet.runtime.seeding import generator
from tests.degradation.conftest import severity


def test_bias_field_is_smooth_and_has_the_drawn_ratio_and_mean_one_in_the_foreground(head):
    parameters = bias_field.draw(severity(ratio=0.5).bias, head, generator(3))
    field = bias_field.field(head.data.shape, parameters)
    inside = field[head.data > 0.04]
    assert (inside.max() - inside.min()) / (inside.max() + inside.min()) == pytest.approx(0.5, abs=0.01)
    assert inside.mean() == pytest.approx(1, abs=0.01)
    # A polynomial of third order: fourth differences vanish in the log-field, along every axis.
    for axis in range(3):
        assert np.abs(np.diff(np.log(field.astype(np.float64)), n=4, axis=axis)).max() < 1e-5


def test_bias_field_falls_off_with_the_degree(head):
    # Standard normal over the degree: coefficients of degree 3 are a third of those of degree 1; the common amplitude
    # of a draw cancels in the difference of logarithms.
    differences = []
    for seed in range(60):
        drawn = bias_field.draw(severity(ratio=0.5).bias, head, generator(seed))["coefficients"][1:]
        first, third = (np.log(np.abs([row[3] for row in drawn if sum(row[:3]) == degree])) for degree in (1, 3))
        differences.append(first.mean() - third.mean())
    assert np.mean(differences) == pytest.approx(np.log(3), abs=0.3)
