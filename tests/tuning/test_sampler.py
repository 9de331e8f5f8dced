"""What a study proposes is a function of its seed, its name and what came before, not of who asks."""

import optuna
import pytest
from optuna.trial import TrialState

from bmenet.tuning.search_space import PRUNERS, SAMPLERS, SeededSampler

TRIALS = {"tpe": 14, "gp": 12, "cmaes": 13, "nsga2": 22, "random": 6}
"""Enough for a model to be fitted, or a generation to be bred."""


FIRST = {"x": 0.5, "y": 0.1, "n": 3}

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def _silent():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


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
