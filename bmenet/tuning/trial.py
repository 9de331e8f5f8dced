"""One trial: what `study.optimize` calls, and what it calls afterwards."""

import math
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from bmenet.config import with_values
from bmenet.config.tune import SECONDS
from bmenet.evaluation.panel import panel
from bmenet.imaging.figures import save_figure
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tracking import log_trial
from bmenet.tuning.objective import Objective, Outcome
from bmenet.tuning.plan import Plan
from bmenet.tuning.search_space import suggest
from bmenet.tuning.study import (
    PUT_BACK,
    RUN,
    STATES,
    best_trial,
    is_enough,
    put_back,
    put_back_numbers,
    requeue,
    sense,
)

_TERMINATED, _INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT
_SETTLED_S = 10.0
"""Longer than the worker of a trial that has ended needs to record it or to queue it again."""
_RECORDED = "bmenet:recorded:"
"""System attribute of the study, the number of a trial added: how the trial's run says that it ended."""

CASES, MEANS, ERROR = "cases", "means", "error"
"""User attributes of a trial: case to metrics; metric to mean over cases; why it is not complete."""

_STATUSES: dict[str, Literal["FINISHED", "FAILED", "KILLED"]] = {"complete": "FINISHED", "failed": "FAILED"}


class SurplusTrial(BMENetError):
    """A trial beyond the budget: of several workers that take the last one at a time, the later give theirs back."""


class TrialRunner:
    """Run trials of a study until its budget is used up.

    `is_stopping` tells whether an error is due to a signal: a training turns SIGTERM into one.
    """

    def __init__(self, plan: Plan, objective: Objective, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._plan, self._objective, self._is_stopping = plan, objective, is_stopping
        self._budget = plan.config.tune.trials
        self._number = self._surplus = -1

    def run(self, study: optuna.Study, seconds: float | None = None) -> None:
        """Run trials until the budget is used up, beginning none after `seconds`."""
        end = None if seconds is None else time.monotonic() + seconds
        while not is_enough(study, self._budget) and (end is None or time.monotonic() < end):
            left = None if end is None else end - time.monotonic()
            try:
                study.optimize(self, timeout=left, catch=(BMENetError,), callbacks=[self._after])
            except Exception:
                trials, number = study.get_trials(deepcopy=False), self._number
                self._number = -1
                # A trial that was silent for too long, such as on a suspended machine, was put back: its end is void.
                if number not in put_back_numbers(trials):
                    if number >= 0 and trials[number].state == TrialState.FAIL:
                        record_trial(self._plan, study, trials[number], STATES[TrialState.FAIL])
                    raise
            if self._is_stopping():
                raise SystemExit(_TERMINATED)

    def __call__(self, trial: optuna.Trial) -> list[float]:
        """Return what the trial's values reach, an objective a number.

        Raises
        ------
        optuna.TrialPruned
            If it is not worth going on, or the values do not fit together.
        BMENetError
            If it failed; the study goes on.
        """
        self._number = trial.number
        if is_enough(trial.study, self._budget, before=trial.number):
            self._surplus = trial.number
            raise SurplusTrial(f"trial {trial.number}: beyond the budget")
        try:
            return self._attempt(trial)
        except SystemExit:  # a signal: it begins anew when the study goes on
            _give_back(trial)
            raise
        except KeyboardInterrupt as error:  # which Optuna would take for a failure
            _give_back(trial)
            raise SystemExit(_INTERRUPTED) from error
        except Exception as error:
            if self._is_stopping():
                _give_back(trial)
                raise SystemExit(_TERMINATED) from error
            reason = str(error) if isinstance(error, optuna.TrialPruned) else f"{type(error).__name__}: {error}"
            trial.set_user_attr(ERROR, self._plan.without_people(reason))
            raise

    def _attempt(self, trial: optuna.Trial) -> list[float]:
        tune = self._plan.config.tune

        def report(step: int, value: float) -> None:
            if len(tune.objectives) == 1:  # of several objectives none says when to stop
                trial.report(value, step)
                if trial.should_prune():
                    raise optuna.TrialPruned(f"at step {step} no better than most")

        try:
            config = with_values(self._plan.config, suggest(trial, tune.space))
        except ConfigError as error:  # each value is valid by itself, but not together with the others
            raise optuna.TrialPruned(f"infeasible: {error}") from error
        outcome = self._objective(config, report)
        reached = outcome.values(tune.objectives)
        if not all(map(math.isfinite, reached)):
            raise BMENetError(f"expected finite objectives; got {reached}")
        trial.set_user_attr(CASES, outcome.cases)
        trial.set_user_attr(MEANS, outcome.means())
        trial.set_user_attr(SECONDS, float(np.mean(outcome.seconds)))
        best = best_trial(trial.study)
        if best is None or sense(trial.study) * (reached[0] - best.values[0]) > 0:
            self._draw(trial.number, outcome)
        return reached

    def _draw(self, number: int, outcome: Outcome) -> None:
        """Keep a picture of the best trial so far."""
        given = self._plan.given.removeprefix("the ").replace(" ", "\n")
        shown = {given if name == "given" else name: volume for name, volume in outcome.picture.items()}
        figure = panel(shown, f"trial {number}: a validation subject, code {self._plan.config.tune.codes[0]}")
        save_figure(picture_path(self._plan, number), figure)

    def _after(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Record a trial that has ended, and stop when the budget is used up."""
        if trial.number == self._surplus:
            requeue(study, trial.number)
        else:
            record_trial(self._plan, study, trial, STATES[trial.state])
        if self._is_stopping() or is_enough(study, self._budget):
            study.stop()


def _give_back(trial: optuna.Trial) -> None:
    """Put an interrupted trial back, if the database lets it; else its heartbeat will be missed."""
    with suppress(Exception):  # nothing holds up a process that is told to leave
        put_back(trial.study, trial.number)


def record_ended(plan: Plan, study: optuna.Study, is_over: bool = False) -> None:
    """Record the trials that have ended and whose run does not say how: their worker was killed before it could.

    Trials that ended just now are left to their workers, unless none is left on this machine (`is_over`).
    """
    trials = study.get_trials(deepcopy=False)
    again = put_back_numbers(trials)
    recorded = study._storage.get_study_system_attrs(study._study_id)
    settled = datetime.now() - timedelta(seconds=_SETTLED_S)
    for trial in trials:
        state = PUT_BACK if trial.number in again else STATES.get(trial.state)
        if state is None or trial.datetime_complete is None or recorded.get(f"{_RECORDED}{trial.number}") == state:
            continue
        has_begun = state != PUT_BACK or bool(trial.params)
        if has_begun and (is_over or state == PUT_BACK or trial.datetime_complete <= settled):
            record_trial(plan, study, trial, state)


def record_trial(plan: Plan, study: optuna.Study, trial: FrozenTrial, state: str) -> None:
    """Record a trial that has ended, in words how, as a run nested in the run of its study; twice is once."""
    tags = {"trial.state": state}
    if reason := trial.user_attrs.get(ERROR):
        tags["trial.reason"] = reason
    metrics = dict(trial.user_attrs.get(MEANS, {}))
    if trial.state == TrialState.COMPLETE:
        metrics |= dict(zip(plan.config.tune.objectives, trial.values, strict=True))
    picture = picture_path(plan, trial.number)
    log_trial(
        plan.config,
        study.user_attrs[RUN],
        trial.number,
        _STATUSES.get(state, "KILLED"),
        params=trial.params,
        metrics=metrics,
        curves={"objective": trial.intermediate_values},
        tags=tags | ({"trial.was_best": "true"} if picture.exists() else {}),
        artifacts={"best": picture} if picture.exists() else {},
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )
    study._storage.set_study_system_attr(study._study_id, f"{_RECORDED}{trial.number}", state)


def picture_path(plan: Plan, number: int) -> Path:
    """Return where the picture of a trial that was the best of its time is."""
    return plan.folder / "pictures" / f"trial-{number:04d}.png"
