"""The section tune: what cannot be searched is refused before anything is run, by the key that is wrong."""

import pytest

from bmenet.config import flatten, with_values
from bmenet.config.profiles import load_profile
from bmenet.runtime.errors import ConfigError
from bmenet.tuning.search_space import require_space

RANGE = {"kind": "float", "low": 0.0, "high": 1.0}


@pytest.fixture(scope="module")
def config():
    return load_profile("smoke")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"tune.objectives": ["beauty"]}, "objectives.*beauty"),
        ({"tune.objectives": ["seconds"], "tune.pruner": "none"}, "objectives.*composite"),
        ({"tune.objectives": ["quality", "quality"]}, "objectives"),
        ({"tune.objectives": ["quality", "seconds"]}, "pruner.*'median'"),
        ({"tune.objectives": ["quality", "seconds"], "tune.pruner": "none", "tune.sampler": "cmaes"}, "sampler.*cmaes"),
        ({"tune.composites": {"quality": {"dice": 0.0}}}, "composites.*quality"),
        ({"tune.composites": {"quality": {"beauty": 1.0}}}, "composites.quality"),
        ({"tune.composites": {"quality": {"dice": -1.0}}}, "composites.quality.dice"),
        ({"tune.composites": {"quality": {"dice": 1.0}, "seconds": {"dice": 1.0}}}, "composites.*seconds"),
        ({"tune.sampler": "luck"}, "tune.sampler"),
        ({"tune.trials": -1}, "tune.trials"),
        ({"tune.codes": ["112"]}, "tune.codes"),
        ({"tune.search_space.sampling": {"coarse.edge_weight": RANGE}}, "search_space.sampling.*coarse.edge_weight"),
        ({"tune.search_space.training": {"sampling.strength": RANGE}}, "search_space.training.*sampling.strength"),
        (
            {"tune.scope": "training", "tune.search_space.training": {"fine.edge_weight": RANGE}},
            "search_space.training.*coarse",
        ),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_by_its_key(config, values, named):
    with pytest.raises(ConfigError, match=f"(?s){named}"):
        with_values(config, values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "float", "low": 1.0, "high": 1.0},
        {"kind": "float", "low": 0.0, "high": 1.0, "log": True},
        {"kind": "float", "low": 0.1, "high": 1.0, "log": True, "step": 0.1},
        {"kind": "float", "low": 0.0, "high": 1.0, "step": 0.0},
        {"kind": "int", "low": 0.5, "high": 2},
        {"kind": "int", "low": 0, "high": 2, "step": 0.5},
        {"kind": "choice", "choices": [0.0, 1.0], "low": 0.0},
        {"kind": "choice", "choices": [0.5]},
        {"kind": "float", "low": 0.0, "high": 1.0, "median": 0.5},
    ],
)
def test_a_range_that_is_none_is_refused_by_its_key(config, wrong):
    with pytest.raises(ConfigError, match=r"tune\.search_space\.sampling\.sampling\.strength"):
        with_values(config, {"tune.search_space.sampling": {"sampling.strength": wrong}})


@pytest.mark.parametrize("scope", ["sampling", "training"])
@pytest.mark.parametrize("network", ["coarse", "fine"])
@pytest.mark.parametrize("profile", ["demo", "full", "paper", "smoke"])
def test_every_profile_can_be_tuned(profile, network, scope):
    config = load_profile(profile)
    config = with_values(config, {"tune.scope": scope, "tune.training.network": network})
    require_space(config)
    prefix = "sampling." if scope == "sampling" else f"{network}."
    assert config.tune.space
    assert all(key.startswith(prefix) for key in config.tune.space)


def test_values_are_set_under_nested_keys_and_the_original_stays(config):
    before = flatten(config)
    changes = {"sampling.guidance.scale": 0.1, "coarse.edge_weight": 3.5, "seed": 7}
    after = flatten(with_values(config, changes))
    assert {key: value for key, value in after.items() if value != before[key]} == changes
    assert flatten(config) == before
    assert with_values(config, {}) == config


@pytest.mark.parametrize("key", ["sampling.power", "sampling.guidance.scale.deep", "nothing.at.all", "steps", ""])
def test_a_key_that_is_not_there_is_refused(config, key):
    with pytest.raises(ConfigError, match=f"here: {key}: unknown key"):
        with_values(config, {key: 1}, "here")


def test_values_that_are_invalid_alone_or_together_are_refused(config):
    for key, value in (("sampling.guidance.window", 4), ("coarse.learning_rate", None)):
        with pytest.raises(ConfigError, match=f"here: {key}"):
            with_values(config, {key: value}, "here")
    assert with_values(config, {"sampling.start_timestep": 400}).sampling.start_timestep == 400
    with pytest.raises(ConfigError, match="max_timestep"):
        with_values(config, {"sampling.start_timestep": 400, "fine.max_timestep": 300})
