"""However a trial ends, the study knows how and why, its run says so, and the study goes on."""

import time
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from bmenet.runtime.errors import VolumeError
from bmenet.tracking.record import idle_records
from bmenet.tuning.search_space import current_values
from bmenet.tuning.study import RUN, counted, fail_stale, is_enough, load_study, open_study, put_back
from bmenet.tuning.trial import CASES, ERROR, TrialRunner, picture_path
from tests.tuned import VALIDATION, changed, outcome, plan_of, run_trials, scaled, states


def _runs(plan):
    """Return name of a trial to the run that is recorded for it."""
    found = {}
    for record in idle_records(plan.layout.root / "mlflow" / "pending"):
        assert record.name not in found
        run = {"parent": record.parent, "status": record.status, "tags": {}, "params": {}, "metrics": {}}
        for kind, *values in record.unsent:
            if kind in ("tag", "param", "metric"):
                run[f"{kind}s"][values[0]] = values[1]
        found[record.name] = run
    return found


def broken(*_):
    raise VolumeError("x.nii: expected a volume; got a picture")


def test_a_complete_trial_is_recorded_with_values_metrics_and_picture(plan):
    seen = []
    study = run_trials(plan, lambda *given: (seen.append(given[0]), scaled(*given))[1])
    (trial,) = study.trials
    assert [config.sampling for config in seen] == [plan.config.sampling]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, plan.config.sampling.guidance.scale)
    assert trial.params == current_values(plan.config)
    assert trial.user_attrs[CASES] == scaled(plan.config, None).cases
    (run,) = _runs(plan).values()
    assert (run["parent"], run["status"]) == (study.user_attrs[RUN], "FINISHED")
    assert run["tags"].items() >= {"trial.number": "0", "trial.state": "complete", "trial.was_best": "true"}.items()
    assert run["params"] == {key: str(value) for key, value in trial.params.items()}
    assert run["metrics"].items() >= {"quality": trial.value, "gain": trial.value, "psnr_brain": 0.02}.items()


def test_only_the_best_of_its_time_is_drawn(plan):
    run_trials(plan, *[lambda *_, gain=gain: outcome(gain) for gain in (1.0, 0.5, 2.0)])
    assert [picture_path(plan, number).exists() for number in range(3)] == [True, False, True]


def test_a_trial_that_is_no_better_than_most_is_pruned_and_shown_as_pruned(tuned):
    plan = plan_of(tuned, tune__pruner="median")

    def objective(number):
        def run(config, report):
            report(1, -float(number))
            assert number < 5, "it should have ended here"
            return outcome(-float(number))

        return run

    study = run_trials(plan, *map(objective, range(6)))
    last = study.trials[-1]
    assert states(study) == ["complete"] * 5 + ["pruned"]
    assert "no better than most" in last.user_attrs[ERROR]
    run = _runs(plan)["trial 5"]
    assert (run["status"], run["tags"]["trial.state"]) == ("KILLED", "pruned")
    assert run["metrics"]["objective"] == -5.0


def test_a_trial_of_several_objectives_is_never_pruned(tuned):
    plan = plan_of(tuned, tune__objectives=["quality", "seconds"])
    study = run_trials(plan, lambda _, report: (report(1, -1.0), outcome(2.0, 4.0, seconds=7.0))[1])
    assert study.trials[0].values == [3.0, 7.0]
    assert _runs(plan)["trial 0"]["metrics"].items() >= {"quality": 3.0, "seconds": 7.0}.items()


def test_a_failure_ends_its_trial_and_the_study_goes_on(plan):
    def named(*_):
        raise VolumeError(f"{plan.layout.clean(VALIDATION[0])}: expected a volume; got none")

    study = run_trials(
        plan, broken, named, *[lambda *_, g=gain: outcome(g) for gain in (float("nan"), float("inf"))], scaled
    )
    assert states(study) == ["fail"] * 4 + ["complete"]
    reasons = [trial.user_attrs[ERROR] for trial in study.trials[:4]]
    assert reasons[0] == "VolumeError: x.nii: expected a volume; got a picture"
    assert VALIDATION[0] not in reasons[1]
    assert all("expected finite objectives" in reason for reason in reasons[2:])
    assert len(counted(study)) == 5
    run = _runs(plan)["trial 0"]
    assert (run["status"], run["tags"]["trial.state"]) == ("FAILED", "failed")
    assert "got a picture" in run["tags"]["trial.reason"]


def test_a_bug_fails_its_trial_and_is_shown_and_an_interrupted_trial_is_put_back(plan):
    def stopped(*_):
        raise SystemExit(143)

    def buggy(*_):
        raise ZeroDivisionError("a bug")

    with pytest.raises(SystemExit):
        run_trials(plan, stopped)
    with pytest.raises(SystemExit):  # an error of a worker that was asked to stop
        TrialRunner(plan, broken, lambda: True).run(load_study(plan))
    assert states(load_study(plan)) == ["fail", "fail", "waiting"]
    study = run_trials(plan, scaled)
    assert states(study) == ["fail", "fail", "complete"]
    assert study.trials[2].params == current_values(plan.config)
    assert len(counted(study)) == 1
    with pytest.raises(ZeroDivisionError):
        run_trials(plan, buggy)
    assert study.trials[3].user_attrs[ERROR] == "ZeroDivisionError: a bug"
    assert _runs(plan)["trial 3"]["status"] == "FAILED"
    assert len(counted(study)) == 2


def test_values_that_do_not_go_together_are_pruned_with_the_reason(tuned):
    ranges = {"kind": "int", "low": 300, "high": 400, "step": 100}
    plan = plan_of(tuned, tune__search_space__sampling={"sampling.start_timestep": ranges})
    plan = replace(plan, config=changed(plan.config, sampling__start_timestep=300, fine__max_timestep=300))
    open_study(plan).enqueue_trial({"sampling.start_timestep": 400})
    study = run_trials(plan, lambda *_: pytest.fail("it was run"))
    assert states(study) == ["pruned"]
    assert study.trials[0].user_attrs[ERROR].startswith("infeasible: ")
    assert "max_timestep" in study.trials[0].user_attrs[ERROR]


@pytest.mark.parametrize("stop", [SystemExit(143), KeyboardInterrupt()])
def test_a_signal_is_obeyed_though_the_trial_was_taken_for_dead(plan, stop):
    begun = []

    def stopped(*_):
        assert not begun, "a trial too many"
        begun.append(1)
        other = load_study(plan)
        put_back(other, other.trials[-1].number)
        raise stop

    study = open_study(plan)
    with pytest.raises(SystemExit):
        TrialRunner(plan, stopped).run(study)
    assert states(study) == ["fail", "waiting"]


def test_a_worker_that_is_asked_to_stop_ends_its_trial_and_begins_no_other(plan):
    study = open_study(plan)
    with pytest.raises(SystemExit):
        TrialRunner(plan, scaled, lambda: True).run(study)
    assert states(study) == ["complete"]


def test_the_later_of_two_who_take_the_last_trial_gives_it_back(tuned):
    plan = plan_of(tuned, tune__trials=1)
    study = open_study(plan)
    runner = TrialRunner(plan, lambda *_: pytest.fail("one too many"))
    other = study.ask()
    study.optimize(runner, n_trials=1, catch=(Exception,), callbacks=[runner._after])
    assert states(study) == ["running", "fail", "waiting"]
    assert is_enough(study, 1)
    study.tell(other, 1.0)
    assert len(counted(study)) == 1
    assert _runs(plan) == {}


def test_a_trial_that_was_silent_for_too_long_is_another_ones(plan):
    """A machine that was suspended wakes up in the middle of a trial that was put back meanwhile."""

    def suspended(config, report):
        other = load_study(plan)
        put_back(other, other.trials[-1].number)
        return outcome(9.0)

    objectives = iter([suspended, scaled])
    study = open_study(plan)
    one = plan_of(plan.layout.root, tune__trials=1)
    TrialRunner(one, lambda *given: next(objectives)(*given)).run(study)
    assert states(study) == ["fail", "complete"]
    assert study.trials[1].value == plan.config.sampling.guidance.scale


def test_no_trial_begins_once_time_is_up(plan):
    study = open_study(plan)
    TrialRunner(plan, scaled).run(study, seconds=0.0)
    assert study.trials == []
    TrialRunner(plan, lambda *given: (time.sleep(0.2), scaled(*given))[1]).run(study, seconds=0.1)
    assert states(study) == ["complete"]


def test_a_running_trial_beats(plan):
    def objective(config, report):
        other = load_study(plan)
        fail_stale(other, set())
        assert states(other) == ["running"]
        with other._storage._backend.engine.begin() as connection:
            beats = connection.exec_driver_sql("SELECT count(*) FROM trial_heartbeats").scalar()
        return outcome(float(beats))

    assert run_trials(plan, objective).trials[0].value == 1.0
