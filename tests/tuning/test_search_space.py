"""What a trial is run with lies in its range, and a range holds only what can be run."""

import math

import optuna
import pytest

from bmenet.config import SearchRange, with_values
from bmenet.runtime.errors import ConfigError
from bmenet.tuning.search_space import require_space, suggest
from tests.fine_networks import smoke_config


@pytest.fixture(scope="module")
def config():
    return smoke_config()


def test_every_kind_is_drawn_within_its_range():
    space = {
        "float": SearchRange(kind="float", low=0.5, high=2.0),
        "step": SearchRange(kind="float", low=0.25, high=2.25, step=0.5),
        "log": SearchRange(kind="float", low=1e-4, high=1e-1, log=True),
        "int": SearchRange(kind="int", low=1, high=3),
        "odd": SearchRange(kind="int", low=5, high=13, step=2),
        "choice": SearchRange(kind="choice", choices=["residual", "decode", 3]),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(study.ask(), space) for _ in range(60)]
    assert all(list(values) == list(space) for values in drawn)
    assert all(0.5 <= values["float"] <= 2.0 and 1e-4 <= values["log"] <= 1e-1 for values in drawn)
    assert {values["step"] for values in drawn} == {0.25, 0.75, 1.25, 1.75, 2.25}
    assert {values["int"] for values in drawn} == {1, 2, 3}
    assert {values["odd"] for values in drawn} == {5, 7, 9, 11, 13}
    assert {values["choice"] for values in drawn} == {"residual", "decode", 3}
    assert all(type(values["int"]) is int and type(values["odd"]) is int for values in drawn)
    # Evenly in the logarithm: half of them lie below the geometric mean of the ends.
    assert 15 < sum(math.log10(values["log"]) < -2.5 for values in drawn) < 45


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"kind": "int", "low": 3, "high": 7, "step": 2}, "that holds .* 9 is outside"),
        ({"kind": "int", "low": 3, "high": 15, "step": 4}, "that holds .* 9 is outside"),
        ({"kind": "choice", "choices": [5, 7]}, "that holds .* 9 is outside"),
        ({"kind": "int", "low": 4, "high": 13}, "of valid values; 4 is"),
        ({"kind": "int", "low": 5, "high": 12}, "of valid values; 12 is"),
        ({"kind": "choice", "choices": [9, "wide"]}, "of valid values; 'wide' is"),
    ],
)
def test_a_range_without_the_present_value_or_with_an_end_that_cannot_be_run_is_refused(config, found, message):
    other = with_values(config, {"tune.search_space.sampling": {"sampling.guidance.window": found}})
    with pytest.raises(ConfigError, match=rf"sampling\.guidance\.window: expected a range {message}"):
        require_space(other)


def test_a_key_that_no_section_has_is_refused(config):
    odd = {"sampling.eta": {"kind": "float", "low": 0.0, "high": 1.0}}
    with pytest.raises(ConfigError, match=r"tune\.search_space\.sampling.*sampling\.eta"):
        require_space(with_values(config, {"tune.search_space.sampling": odd}))


def test_a_step_meets_a_value_up_to_rounding(config):
    meets = {"sampling.guidance.scale": {"kind": "float", "low": 0.0, "high": 0.2, "step": 0.01}}
    require_space(with_values(config, {"tune.search_space.sampling": meets, "sampling.guidance.scale": 0.07}))
