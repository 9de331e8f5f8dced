"""What a trial is run with lies in its range and is a function of seed, study and what came before."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from bmenet.config import SearchRange, with_values
from bmenet.runtime.errors import ConfigError
from bmenet.tuning.search_space import PRUNERS, SAMPLERS, SeededSampler, require_space, suggest
from tests.fine_networks import smoke_config

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


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


TRIALS = {"tpe": 14, "gp": 12, "cmaes": 13, "nsga2": 22, "random": 6}
"""Enough for a model to be fitted, or a generation to be bred."""

FIRST = {"x": 0.5, "y": 0.1, "n": 3}


def _run(file, name, trials, seed=1, study_name="study"):
    """Go on with a study as a new process does; return all its values."""
    study = optuna.create_study(
        storage=f"sqlite:///{file}.db",
        study_name=study_name,
        sampler=SeededSampler(name, seed, FIRST),
        load_if_exists=True,
    )
    for _ in range(trials):
        trial = study.ask()
        x, y = trial.suggest_float("x", -1, 1), trial.suggest_float("y", 1e-3, 1, log=True)
        n = trial.suggest_int("n", 1, 9)
        study.tell(trial, (x - 0.3) ** 2 + y + 0.1 * n)
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_that_was_stopped_proposes_what_an_unbroken_one_does(name, tmp_path):
    trials = TRIALS[name]
    straight = _run(tmp_path / "straight", name, trials)
    assert straight[0] == FIRST
    assert len({str(values) for values in straight}) == trials
    for count in (4, trials - 5, 1):
        broken = _run(tmp_path / "broken", name, count)
    assert broken == straight


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_seed_or_another_study_proposes_something_else(name, tmp_path):
    first = _run(tmp_path / "a", name, 2)
    assert _run(tmp_path / "b", name, 2, seed=2)[1] != first[1]
    assert _run(tmp_path / "c", name, 2, study_name="other")[1] != first[1]


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_judges_a_trial(name):
    study = optuna.create_study(direction="maximize", pruner=PRUNERS[name](4), study_name="pruned")
    judged = []
    for number in range(12):
        trial = study.ask()
        for step in (1, 2, 3, 4):
            trial.report(-number - 0.01 * step, step)
            if trial.should_prune():
                break
        judged.append(study.tell(trial, -float(number), skip_if_finished=True).state if step == 4 else None)
    assert judged[0] == TrialState.COMPLETE
    assert (None in judged) == (name != "none")
