"""One trial from its proposal to its end, in Optuna's storage and as a nested run."""

import math
import signal
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import optuna
from optuna.trial import TrialState

from bmenet.config import with_values
from bmenet.config.tune import SECONDS
from bmenet.evaluation.panel import panel
from bmenet.imaging.figures import save_figure
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tracking import TrialRun, start_trial
from bmenet.tuning.liveness import Alive, put_back, signals_later
from bmenet.tuning.objective import Objective, Outcome
from bmenet.tuning.plan import Plan
from bmenet.tuning.search_space import suggest
from bmenet.tuning.study import CASES, ENDED_BY, RUN, STATES, best_trial, counts_or_runs

ERROR = "error"
"""User attribute: why a trial failed, or was not worth running."""

_STATUSES: dict[TrialState, Literal["FINISHED", "FAILED", "KILLED"]] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAIL: "FAILED",
}
"""How a trial ended, as MLflow has it."""


def is_enough(study: optuna.Study, budget: int, before: int | None = None) -> bool:
    """Tell whether the trials that count, and those that run, are as many as are wanted; or those `before` a number."""
    trials = study.get_trials(deepcopy=False)
    return sum(counts_or_runs(trial) for trial in trials if before is None or trial.number < before) >= budget


def run_trial(
    plan: Plan, study: optuna.Study, objective: Objective, budget: int, is_stopping: Callable[[], bool]
) -> None:
    """Take the next values and find out what they are worth.

    Parameters
    ----------
    plan : Plan
    study : optuna.Study
    objective : callable
    budget : int
        Of the study; of two workers that take its last trial at the same moment, the later one gives it up.
    is_stopping : callable
        Whether an error now is that of a worker that was asked to stop.
    """
    with ExitStack() as stack:
        with signals_later() as received:  # a trial that has begun must belong to somebody
            trial = study.ask()
            stack.enter_context(Alive(trial))
            if is_surplus := is_enough(study, budget, before=trial.number):
                trial.set_user_attr(ENDED_BY, "beyond the budget")
                study.tell(trial, state=TrialState.FAIL)
        if is_surplus:
            return
        run = start_trial(
            plan.config, study.user_attrs[RUN], f"trial {trial.number}", {"trial.number": str(trial.number)}
        )
        try:
            for number in received:
                signal.raise_signal(number)
            _attempt(plan, study, trial, objective, run)
        except BMENetError as error:
            if is_stopping():
                _interrupt(study, trial, run)
                return
            _end(plan, study, trial, run, TrialState.FAIL, reason=f"{type(error).__name__}: {error}")
        except (KeyboardInterrupt, SystemExit):
            _interrupt(study, trial, run)
            raise
        except BaseException as error:
            last = traceback.format_exception_only(error)[-1].strip()
            _end(plan, study, trial, run, TrialState.FAIL, reason=last)
            raise


def _attempt(plan: Plan, study: optuna.Study, trial: optuna.Trial, objective: Objective, run: TrialRun) -> None:
    """Run a trial to its end, complete or pruned."""
    tune = plan.config.tune
    is_single = len(tune.objectives) == 1

    def report(step: int, value: float) -> None:
        run.log_metrics({"objective": value}, step)
        if is_single:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"at step {step} no better than most")

    values = suggest(trial, tune.space)
    run.log_params(values)
    try:
        config = with_values(plan.config, values)
    except ConfigError as error:  # each is valid by itself, but not together with the others
        _end(plan, study, trial, run, TrialState.PRUNED, reason=f"infeasible: {error}")
        return
    try:
        outcome = objective(config, report)
    except optuna.TrialPruned as pruned:
        _end(plan, study, trial, run, TrialState.PRUNED, reason=str(pruned))
        return
    reached = outcome.values(tune.objectives)
    if not all(map(math.isfinite, reached)):
        _end(plan, study, trial, run, TrialState.FAIL, reason=f"expected finite objectives; got {reached}")
        return
    trial.set_user_attr(CASES, outcome.cases)
    trial.set_user_attr(SECONDS, outcome.means()[SECONDS])
    run.log_metrics(outcome.means() | dict(zip(tune.objectives, reached, strict=True)))
    _draw_if_best(plan, study, trial.number, reached[0], outcome, run)
    study.tell(trial, reached)
    _end_run(run, TrialState.COMPLETE, "")


def _draw_if_best(plan: Plan, study: optuna.Study, number: int, value: float, outcome: Outcome, run: TrialRun) -> None:
    """Keep a picture of the best trial so far, beside the study and in the trial's run."""
    best = best_trial(study)
    if best is not None and best.values[0] >= value:
        return
    given = plan.given.removeprefix("the ").replace(" ", "\n")
    shown = {given if name == "given" else name: volume for name, volume in outcome.picture.items()}
    figure = panel(shown, f"trial {number}: a validation subject, code {plan.config.tune.codes[0]}")
    save_figure(picture_path(plan, number), figure)
    run.log_figure(figure, f"best/trial-{number:04d}.png")
    run.set_tags({"trial.was_best": "true"})


def picture_path(plan: Plan, number: int) -> Path:
    """Return where the picture of a trial that was the best of its time is."""
    return plan.folder / "pictures" / f"trial-{number:04d}.png"


def _interrupt(study: optuna.Study, trial: optuna.Trial, run: TrialRun) -> None:
    """Put a trial back that was stopped from outside; it begins anew when the study goes on."""
    if put_back(study, study.get_trials(deepcopy=False)[trial.number], died=False):
        run.set_tags({"trial.state": "interrupted"})
        run.end("KILLED")
    else:  # the signal came when it had ended
        _end_run(run, TrialState.COMPLETE, "")


def _end(plan: Plan, study: optuna.Study, trial: optuna.Trial, run: TrialRun, state: TrialState, reason: str) -> None:
    """End a trial that is not complete."""
    reason = plan.without_people(reason)
    trial.set_user_attr(ERROR, reason)
    study.tell(trial, state=state)
    _end_run(run, state, reason)


def _end_run(run: TrialRun, state: TrialState, reason: str) -> None:
    """End a trial's run: Optuna's states in MLflow's words, and as they are in a tag."""
    run.set_tags({"trial.state": STATES[state]} | ({"trial.reason": reason} if reason else {}))
    run.end(_STATUSES[state])
