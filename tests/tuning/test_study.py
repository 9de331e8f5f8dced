"""A study is made once, however many begin it together, and begins with the present values."""

import threading

import optuna
import pytest
from optuna.trial import TrialState

from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tuning.search_space import current_values, suggest
from bmenet.tuning.study import ENDED_BY, IS_DEFAULT, RUN, best_trial, counted, open_storage, open_study
from tests.tuned import plan_of


def _tell(study, plan, value, **attributes):
    trial = study.ask()
    suggest(trial, plan.config.tune.space)
    for name, given in attributes.items():
        trial.set_user_attr(name, given)
    study.tell(trial, value)
    return trial.number


def test_the_first_trial_has_the_present_values(plan):
    study = open_study(plan)
    (queued,) = study.trials
    assert (queued.state, queued.user_attrs) == (TrialState.WAITING, {IS_DEFAULT: True})
    first = study.ask()
    assert suggest(first, plan.config.tune.space) == current_values(plan.config)
    assert suggest(study.ask(), plan.config.tune.space) != current_values(plan.config)
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE]
    assert study.study_name == plan.name


def test_opening_again_joins(plan):
    first = open_study(plan)
    run = first.user_attrs[RUN]
    _tell(first, plan, 1.0)
    again = open_study(plan_of(plan.layout.root, tune__trials=9, tune__sampler="random", sampling__strength=0.5))
    assert again.study_name == first.study_name
    assert again.user_attrs[RUN] == run
    assert [trial.state for trial in again.trials] == [TrialState.COMPLETE]


def test_a_study_that_several_open_at_once_is_one(plan):
    together = threading.Barrier(4)
    opened, errors = [], []

    def open_it():
        together.wait()
        try:
            opened.append(open_study(plan))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(optuna.get_all_study_names(open_storage(plan))) == 1
    assert len({study.user_attrs[RUN] for study in opened}) == 1
    assert [len(study.trials) for study in opened] == [1] * 4
    assert open_study(plan).trials[0].user_attrs == {IS_DEFAULT: True}


def test_a_study_whose_maker_died_at_once_is_made_whole(plan, monkeypatch):
    monkeypatch.setattr("bmenet.tuning.study._MAKING_S", 0.2)
    optuna.create_study(storage=open_storage(plan), study_name=plan.name, directions=["maximize"])
    study = open_study(plan)
    assert RUN in study.user_attrs
    assert [trial.user_attrs for trial in study.trials] == [{IS_DEFAULT: True}]


def test_each_objective_has_its_direction(tuned):
    study = open_study(plan_of(tuned, tune__objectives=["seconds", "quality"]))
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]


def test_a_database_keeps_a_study(tuned):
    plan = plan_of(tuned, f"sqlite:///{tuned / 'study.db'}")
    _tell(open_study(plan), plan, 2.0)
    assert [trial.value for trial in open_study(plan).trials] == [2.0]
    assert not plan.layout.journal.exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgrex://me:s3cret@host/db",
        "mysql+odd://me:s3cret@host/db",
        "://me:s3cret@host/db",
        "nonsense",
        "me:s3cret@host/db",
        "postgrex://me:s3cret/more@host/db",
    ],
)
def test_a_storage_that_is_no_url_is_a_config_error_without_its_password(plan, url):
    with pytest.raises(ConfigError, match=r"--storage") as caught:
        open_study(plan_of(plan.layout.root, url))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_database_that_does_not_answer_is_named_without_its_password(plan):
    with pytest.raises(BMENetError, match=r"--storage") as caught:
        open_study(plan_of(plan.layout.root, "sqlite:////nowhere/at/all/study.db"))
    assert "/nowhere/at/all" in str(caught.value)


def test_the_environment_may_name_the_database(tuned, monkeypatch):
    url = f"sqlite:///{tuned / 'study.db'}"
    monkeypatch.setenv("BMENET_STUDIES", url)
    assert plan_of(tuned).storage == url
    assert plan_of(tuned, "sqlite:///other.db").storage == "sqlite:///other.db"
    monkeypatch.setenv("BMENET_STUDIES", "")
    assert plan_of(tuned).storage is None


def test_what_was_put_back_does_not_count(plan):
    study = open_study(plan)
    _tell(study, plan, 1.0)
    for attributes, state in (({ENDED_BY: "interrupted"}, "FAIL"), ({}, "FAIL"), ({}, "PRUNED")):
        trial = study.ask()
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        study.tell(trial, state=TrialState[state])
    study.ask()
    assert counted(study) == 3


def test_the_best_trial_is_the_first_of_equals(plan):
    study = open_study(plan)
    assert best_trial(study) is None
    for value in (1.0, 3.0, 3.0, 2.0):
        _tell(study, plan, value)
    assert best_trial(study).number == 1


def test_of_seconds_fewer_are_better(tuned):
    plan = plan_of(tuned, tune__objectives=["seconds", "quality"])
    study = open_study(plan)
    for values in ([3.0, 9.0], [1.0, 0.0], [2.0, 5.0]):
        _tell(study, plan, values)
    assert best_trial(study).number == 1
