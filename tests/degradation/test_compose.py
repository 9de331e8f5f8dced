"""The three effects together: seeded, switched by the digits of a code, nothing at zero severity."""

import numpy as np
import pytest

from bmenet.degradation import DEGRADATIONS, apply, draw, effects
from bmenet.runtime.seeding import generator
from tests.degradation.conftest import severity

CODES = ["100", "010", "001", "110", "101", "011", "111"]


@pytest.mark.parametrize("code", CODES)
def test_degradation_changes_nothing_at_zero_severity(head, code):
    parameters = draw(severity(0, 0, 0, 0), code, head, generator(0, "a", code))
    np.testing.assert_allclose(apply(head, parameters).data, head.data, atol=1e-4)


@pytest.mark.parametrize("code", CODES)
def test_degradation_repeats_with_its_seed_and_differs_with_another(head, code):
    def run(seed):
        return apply(head, draw(severity(), code, head, generator(seed, "a", code))).data

    first = run(0)
    np.testing.assert_array_equal(first, run(0))
    assert np.abs(first - run(1)).max() > 0.01
    assert np.abs(first - head.data).max() > 0.01
    assert (first.dtype, first.min() >= 0) == (np.float32, True)


def test_codes_switch_each_effect_by_its_digit(head):
    for position, name in enumerate(DEGRADATIONS):
        code = "".join("1" if index == position else "0" for index in range(3))
        assert set(draw(severity(), code, head, generator(0))) == {name}
    with pytest.raises(ValueError, match=r"three digits 0 or 1.*got '12'"):
        effects("12")
