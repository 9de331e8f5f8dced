"""A study is opened once, kept in a database, and takes back the trials of dead processes."""

import multiprocessing
import threading

import optuna
import pytest

from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tuning.search_space import current_values, suggest
from bmenet.tuning.study import (
    _LOCK_S,
    RUN,
    best_trial,
    counted,
    fail_stale,
    is_enough,
    load_study,
    open_storage,
    open_study,
    put_back,
    put_back_numbers,
)
from tests.tuned import plan_of, run_trials, scaled, states


def _start(study, plan, has_values=True, beats=True):
    """Start a trial as a process does that is killed then; its last heartbeat is long ago."""
    trial = study.ask()
    if has_values:
        suggest(trial, plan.config.tune.space)
    if beats:
        _beat_long_ago(study, trial)
    return trial


def _beat_long_ago(study, trial):
    study._storage.record_heartbeat(trial._trial_id)
    with study._storage._backend.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE trial_heartbeats SET heartbeat = '2000-01-01 00:00:00'")


def test_the_first_trial_has_the_present_values(plan):
    study = open_study(plan)
    assert suggest(study.ask(), plan.config.tune.space) == current_values(plan.config)
    assert suggest(study.ask(), plan.config.tune.space) != current_values(plan.config)
    assert (study.study_name, study.metric_names) == (plan.name, ["quality"])


def test_opening_again_joins(plan):
    study = run_trials(plan, scaled)
    again = open_study(plan_of(plan.layout.root, tune__trials=9, tune__sampler="random", sampling__strength=0.5))
    assert (again.study_name, again.user_attrs[RUN]) == (study.study_name, study.user_attrs[RUN])
    assert states(again) == ["complete"]


def _open(plan, together, opened):
    together.wait()
    opened.put(open_study(plan).user_attrs[RUN])


def test_a_study_that_several_processes_open_at_once_is_one(plan):
    context = multiprocessing.get_context("fork")
    together, opened = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_open, args=(plan, together, opened)) for _ in range(4)]
    for process in processes:
        process.start()
    keys = {opened.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert keys == {open_study(plan).user_attrs[RUN]}
    assert optuna.get_all_study_names(open_storage(plan)) == [plan.name]


def test_a_study_whose_maker_died_at_once_is_made_whole(plan, monkeypatch):
    monkeypatch.setattr("bmenet.tuning.study._MAKING_S", 0.2)
    optuna.create_study(storage=open_storage(plan), study_name=plan.name, directions=["maximize"])
    assert RUN in open_study(plan).user_attrs


@pytest.mark.parametrize("has_values", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_a_trial_whose_process_died_is_tried_once_more_with_its_values(plan, number, has_values):
    study = run_trials(plan, *[scaled] * number)
    _start(study, plan, has_values)
    dead = study.trials[number]
    fail_stale(study, set())
    assert states(study)[number:] == ["fail", "waiting"]
    assert put_back_numbers(study.trials) == {number}
    assert len(counted(study)) == number
    again = study.ask()
    drawn = suggest(again, plan.config.tune.space)
    if has_values:
        assert drawn == dead.params
    if number == 0:
        assert drawn == current_values(plan.config)
    _beat_long_ago(study, again)
    fail_stale(study, set())  # a second death counts as a failure of these values
    assert states(study)[number:] == ["fail", "fail"]
    assert len(counted(study)) == number + 1


def test_a_trial_that_beats_is_left_alone_and_one_killed_before_its_first_beat_is_found(plan):
    study = open_study(plan)
    trial = _start(study, plan, beats=False)
    seen = set()
    fail_stale(study, seen)  # which sends the beat that the process did not
    fail_stale(study, seen)
    assert states(study) == ["running"]
    _beat_long_ago(study, trial)
    fail_stale(study, seen)
    assert states(study) == ["fail", "waiting"]


def test_of_several_who_find_a_dead_trial_one_puts_it_back(plan):
    _start(open_study(plan), plan)
    studies = [load_study(plan) for _ in range(3)]
    threads = [threading.Thread(target=fail_stale, args=(study, set())) for study in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(load_study(plan)) == ["fail", "waiting"]


def test_an_interrupted_trial_is_put_back_any_number_of_times_which_uses_up_no_second_try(plan):
    study = open_study(plan)
    for _ in range(3):
        put_back(study, _start(study, plan).number)
    assert states(study) == ["fail"] * 3 + ["waiting"]
    assert counted(study) == []
    for last in ("waiting", "fail"):
        assert _start(study, plan).params == current_values(plan.config)
        fail_stale(study, set())
        assert states(study)[-1] == last
    assert states(study) == ["fail"] * 5
    assert len(counted(study)) == 1


def test_a_heartbeat_that_the_database_does_not_take_is_left_to_the_next(plan):
    study = open_study(plan)
    trial = _start(study, plan, beats=False)
    with study._storage._backend.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE trial_heartbeats RENAME TO away")
    study._storage.record_heartbeat(trial._trial_id)
    with study._storage._backend.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO trial_heartbeats")
    _beat_long_ago(study, trial)
    fail_stale(study, set())
    assert states(study) == ["fail", "waiting"]
    assert plan.grace_s >= 3 * _LOCK_S


def test_running_trials_are_part_of_the_budget_and_those_put_back_are_not(plan):
    study = run_trials(plan, scaled)
    put_back(study, _start(study, plan).number)
    assert not is_enough(study, 2)
    study.ask()
    assert is_enough(study, 2)
    assert not is_enough(study, 2, before=2)


def test_each_objective_has_its_direction_and_the_best_is_the_first_of_equals(tuned):
    plan = plan_of(tuned, tune__objectives=["seconds", "quality"])
    study = open_study(plan)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert best_trial(study) is None
    for values in ([3.0, 9.0], [1.0, 0.0], [2.0, 5.0], [1.0, 1.0]):
        study.tell(_start(study, plan, beats=False), values)
    assert best_trial(study).number == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgrex://me:s3cret@host/db",
        "nonsense",
        "me:s3cret@host/db",
    ],
)
def test_a_storage_that_is_no_url_is_a_config_error_without_its_password(plan, url):
    with pytest.raises(ConfigError, match=r"--storage") as caught:
        open_study(plan_of(plan.layout.root, url))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_database_that_does_not_answer_is_named(plan):
    with pytest.raises(BMENetError, match=r"--storage.*/nowhere/at/all"):
        open_study(plan_of(plan.layout.root, "sqlite:////nowhere/at/all/study.db"))


def test_another_database_keeps_a_study_and_the_environment_may_name_it(tuned, monkeypatch):
    url = f"sqlite:///{tuned / 'other.db'}"
    monkeypatch.setenv("BMENET_STUDIES", url)
    run_trials(plan_of(tuned), scaled)
    assert states(open_study(plan_of(tuned, url))) == ["complete"]
    assert not plan_of(tuned).layout.studies.exists()
    assert plan_of(tuned, "sqlite:///option.db").storage == "sqlite:///option.db"
