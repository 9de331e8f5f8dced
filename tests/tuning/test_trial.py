"""However a trial ends, the study knows how and why, its run says so, and the study goes on."""

import signal
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from bmenet.runtime.errors import VolumeError
from bmenet.tracking.record import idle_records
from bmenet.tuning.sampler import SeededSampler
from bmenet.tuning.search_space import current_values
from bmenet.tuning.study import CASES, ENDED_BY, IS_DEFAULT, RUN, counted, load_study, open_study
from bmenet.tuning.trial import ERROR, is_enough, picture_path, run_trial
from tests.tuned import changed, in_turn, never, outcome, plan_of, scaled

BUDGET = 9


@pytest.fixture
def study(plan):
    return open_study(plan)


def _runs(plan):
    """Return name of a trial to what its run records, the kinds joined."""
    found = {}
    for record in idle_records(plan.layout.root / "mlflow" / "pending"):
        assert record.name not in found
        run = {"parent": record.parent, "status": record.status, "tags": {}, "params": {}, "metrics": {}}
        for kind, *values in record.unsent:
            if kind in ("tag", "param", "metric"):
                run[f"{kind}s"][values[0]] = values[1]
        found[record.name] = run
    return found


def test_a_complete_trial_says_what_it_reached(plan, study):
    run_trial(plan, study, scaled, BUDGET, never)
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, plan.config.sampling.guidance.scale)
    assert trial.params == current_values(plan.config)
    assert trial.user_attrs[IS_DEFAULT] is True
    assert trial.user_attrs["seconds"] == 1.0
    assert trial.user_attrs[CASES] == scaled(plan.config, never).cases
    assert picture_path(plan, 0).exists()
    (run,) = _runs(plan).values()
    assert (run["parent"], run["status"]) == (study.user_attrs[RUN], "FINISHED")
    assert run["tags"].items() >= {"trial.number": "0", "trial.state": "complete", "trial.was_best": "true"}.items()
    assert run["params"] == {key: str(value) for key, value in trial.params.items()}
    assert run["metrics"].items() >= {"quality": trial.value, "gain": trial.value, "psnr_brain": 0.02}.items()


def test_the_objective_is_given_the_values_of_the_trial(plan, study):
    seen = []

    def objective(config, report):
        seen.append(config)
        return scaled(config, report)

    for _ in range(3):
        run_trial(plan, study, objective, BUDGET, never)
    assert [trial.params["sampling.guidance.scale"] for trial in study.trials] == [
        config.sampling.guidance.scale for config in seen
    ]
    assert seen[0] == plan.config
    assert seen[1].sampling != seen[2].sampling
    assert seen[1].coarse == plan.config.coarse


def test_only_the_best_of_its_time_is_drawn(plan, study):
    gains = iter((1.0, 0.5, 2.0))
    for _ in range(3):
        run_trial(plan, study, lambda *_: outcome(next(gains)), BUDGET, never)
    assert [picture_path(plan, number).exists() for number in range(3)] == [True, False, True]
    assert [run["tags"].get("trial.was_best") for _, run in sorted(_runs(plan).items())] == ["true", None, "true"]


def test_a_trial_that_is_no_better_than_most_is_pruned(tuned):
    plan = plan_of(tuned, tune__pruner="median")
    study = open_study(plan)

    def objective(config, report):
        number = len(study.trials)
        report(1, -float(number))
        assert number < 6, "it should have ended here"
        return outcome(-float(number))

    for _ in range(6):
        run_trial(plan, study, objective, BUDGET, never)
    last = study.trials[-1]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 5 + ["PRUNED"]
    assert last.intermediate_values == {1: -6.0}
    assert "no better than most" in last.user_attrs[ERROR]
    run = _runs(plan)["trial 5"]
    assert (run["status"], run["tags"]["trial.state"]) == ("KILLED", "pruned")
    assert run["metrics"]["objective"] == -6.0
    assert counted(study) == 6


def test_an_error_fails_its_trial_and_the_study_goes_on(plan, study):
    def broken(*_):
        raise VolumeError("x.nii: expected a volume; got a picture")

    for _ in range(2):
        run_trial(plan, study, in_turn(broken), BUDGET, never)
    run_trial(plan, study, scaled, BUDGET, never)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL", "COMPLETE"]
    assert study.trials[0].user_attrs[ERROR] == "VolumeError: x.nii: expected a volume; got a picture"
    assert ENDED_BY not in study.trials[0].user_attrs
    assert counted(study) == 3
    run = _runs(plan)["trial 0"]
    assert (run["status"], run["tags"]["trial.state"]) == ("FAILED", "failed")
    assert "got a picture" in run["tags"]["trial.reason"]


def test_a_bug_fails_its_trial_and_is_shown(plan, study):
    def buggy(*_):
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        run_trial(plan, study, buggy, BUDGET, never)
    assert study.trials[0].state == TrialState.FAIL
    assert study.trials[0].user_attrs[ERROR] == "ZeroDivisionError: a bug"
    assert _runs(plan)["trial 0"]["status"] == "FAILED"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_fails_its_trial(plan, study, value):
    run_trial(plan, study, lambda *_: outcome(1.0, value), BUDGET, never)
    assert study.trials[0].state == TrialState.FAIL
    assert "finite" in study.trials[0].user_attrs[ERROR]
    assert counted(study) == 1


def test_values_that_do_not_go_together_are_pruned_with_the_reason(tuned):
    ranges = {"low": 300, "high": 400, "step": 100, "kind": "int"}
    space = {"sampling.start_timestep": ranges, "sampling.guidance.start": ranges | {"low": 100, "high": 400}}
    plan = plan_of(tuned, tune__search_space__sampling=space)
    study = open_study(plan)
    asked = []
    plan = replace(plan, config=changed(plan.config, sampling__start_timestep=300, fine__max_timestep=300))
    study.tell(study.ask(), 0.0)
    study.enqueue_trial({"sampling.start_timestep": 400, "sampling.guidance.start": 400})
    run_trial(plan, study, lambda config, _: asked.append(config), BUDGET, never)
    assert asked == []
    assert study.trials[1].state == TrialState.PRUNED
    assert study.trials[1].user_attrs[ERROR].startswith("infeasible: ")
    assert "max_timestep" in study.trials[1].user_attrs[ERROR]
    assert _runs(plan)["trial 1"]["tags"]["trial.state"] == "pruned"
    assert counted(study) == 2


def test_a_trial_that_is_interrupted_as_it_is_asked_for_is_put_back(plan, study, monkeypatch):
    before_trial = SeededSampler.before_trial

    def stopped(*arguments):
        signal.raise_signal(signal.SIGINT)
        before_trial(*arguments)

    monkeypatch.setattr(SeededSampler, "before_trial", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_trial(plan, study, scaled, BUDGET, never)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    assert study.trials[0].user_attrs[ENDED_BY] == "interrupted"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_an_interrupted_trial_is_put_back(plan, study, stop):
    def stopped(*_):
        raise stop

    with pytest.raises(type(stop)):
        run_trial(plan, study, stopped, BUDGET, never)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    assert study.trials[0].user_attrs[ENDED_BY] == "interrupted"
    assert counted(study) == 0
    run_trial(plan, study, scaled, BUDGET, never)
    assert study.trials[1].params == current_values(plan.config)
    assert study.trials[1].user_attrs[IS_DEFAULT] is True
    runs = _runs(plan)
    assert (runs["trial 0"]["status"], runs["trial 0"]["tags"]["trial.state"]) == ("KILLED", "interrupted")
    assert runs["trial 1"]["status"] == "FINISHED"


def test_an_error_of_a_worker_that_was_asked_to_stop_is_an_interruption(plan, study):
    def broken(*_):
        raise VolumeError("it was asked to stop")

    run_trial(plan, study, broken, BUDGET, lambda: True)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "WAITING"]
    assert counted(study) == 0


def test_the_later_of_two_who_take_the_last_trial_gives_it_up(plan, study):
    for _ in range(2):
        run_trial(plan, study, scaled, 3, never)
    assert not is_enough(study, 3)
    other = load_study(plan).ask()
    assert is_enough(study, 3)
    run_trial(plan, study, lambda *_: pytest.fail("one too many"), 3, never)
    assert study.trials[3].state == TrialState.FAIL
    assert study.trials[3].user_attrs[ENDED_BY] == "beyond the budget"
    assert counted(study) == 2
    study.tell(other.number, 1.0)
    assert counted(study) == 3
    assert "trial 3" not in _runs(plan)


def test_a_trial_of_several_objectives_is_never_pruned(tuned):
    plan = plan_of(tuned, tune__objectives=["quality", "seconds"])
    study = open_study(plan)

    def objective(config, report):
        report(1, -1.0)
        return outcome(2.0, 4.0, seconds=7.0)

    run_trial(plan, study, objective, BUDGET, never)
    assert study.trials[0].values == [3.0, 7.0]
    assert study.trials[0].intermediate_values == {}
    assert _runs(plan)["trial 0"]["metrics"].items() >= {"quality": 3.0, "seconds": 7.0}.items()


def test_a_pruned_report_goes_through_the_objective(plan, study):
    def objective(config, report):
        raise optuna.TrialPruned("by itself")

    run_trial(plan, study, objective, BUDGET, never)
    assert study.trials[0].state == TrialState.PRUNED
    assert study.trials[0].user_attrs[ERROR] == "by itself"
