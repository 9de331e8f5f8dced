"""What is drawn of a study: its objectives one by one, short names, the trials that matter."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bmenet.config.tune import SECONDS
from bmenet.tuning.study import GAIN_OVER, IS_DEFAULT

FEWEST_FOR_IMPORTANCE = 8
PANELS_A_ROW = 4
DEFAULT_LABEL = "current parameters"
_REACHES = 4
"""How far below the best a plot looks, in distances of the middle trial from it."""


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Optuna from telling what it creates here, and that plots are experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def view_of(study: optuna.Study, objectives: Sequence[int]) -> optuna.Study:
    """Return a study in memory with some of the objectives, short parameter names, and no attribute but is_default.

    What other attributes tell, such as where a trial ran, must not get into a plot.
    """
    trials = study.get_trials(deepcopy=False)
    short = _short({name: None for trial in trials for name in trial.params})
    view = optuna.create_study(study_name="study", directions=[study.directions[number] for number in objectives])
    for trial in trials:
        view.add_trial(
            FrozenTrial(
                number=trial.number,
                trial_id=trial.number,
                state=trial.state,
                value=None,
                values=[trial.values[number] for number in objectives] if trial.values else None,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params={short[name]: value for name, value in trial.params.items()},
                distributions={short[name]: value for name, value in trial.distributions.items() if name in short},
                user_attrs={IS_DEFAULT: True} if trial.user_attrs.get(IS_DEFAULT) is True else {},
                system_attrs={},
                intermediate_values=trial.intermediate_values if len(objectives) == 1 else {},
            )
        )
    return view


def _short(names: dict[str, None]) -> dict[str, str]:
    """Return names without the sections that all of them have in common."""
    sections = [name.split(".")[:-1] for name in names]
    common = list(takewhile(lambda level: len(set(level)) == 1, zip(*sections, strict=False)))
    return {name: ".".join(name.split(".")[len(common) :]) for name in names}


def label_of(study: optuna.Study, objective: str) -> str:
    """Return what an axis says about an objective."""
    if objective == SECONDS:
        return "seconds a volume"
    return f"{objective}, gain over {study.user_attrs.get(GAIN_OVER, 'the coarse result')}"


def main_objective(objectives: Sequence[str]) -> int:
    """Return which objective is shown where there is room for one only: the first that is not the time."""
    return next((number for number, name in enumerate(objectives) if name != SECONDS), 0)


def right_and_up(objectives: Sequence[str]) -> list[int]:
    """Return which of two objectives goes to the right, the time if it is one of them, and which up."""
    return [0, 1] if objectives[0] == SECONDS else [1, 0]


def complete_trials(view: optuna.Study) -> list[FrozenTrial]:
    """Return the trials with values that can be drawn."""
    trials = view.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if all(map(math.isfinite, trial.values))]


def default_trial(view: optuna.Study) -> FrozenTrial | None:
    """Return the complete trial of the current parameters."""
    return next((trial for trial in complete_trials(view) if trial.user_attrs.get(IS_DEFAULT)), None)


def best_of(view: optuna.Study) -> FrozenTrial:
    """Return the best complete trial of a study with one objective; there must be one."""
    choose = max if view.direction == StudyDirection.MAXIMIZE else min
    return choose(complete_trials(view), key=lambda trial: trial.values[0])


def varying_names(view: optuna.Study) -> list[str]:
    """Return the parameters that all complete trials have, and not all with one value."""
    params = [trial.params for trial in complete_trials(view)]
    shared = [name for name in (params[0] if params else {}) if all(name in of_trial for of_trial in params)]
    return [name for name in shared if len({of_trial[name] for of_trial in params}) > 1]


def distribution_of(trials: Sequence[FrozenTrial], name: str) -> BaseDistribution:
    """Return the range of a parameter."""
    return trials[0].distributions[name]


def importances_of(view: optuna.Study) -> dict[str, float]:
    """Return how much of the objective's variation each parameter explains, the most first; {} if too little is known.

    The forest of fANOVA is seeded: the same trials give the same numbers.
    """
    complete, names = complete_trials(view), varying_names(view)
    if len(complete) < FEWEST_FOR_IMPORTANCE or len(names) < 2 or len({trial.values[0] for trial in complete}) < 2:
        return {}
    return get_param_importances(view, evaluator=FanovaImportanceEvaluator(seed=0), params=names)


def numeric_pair(view: optuna.Study, importances: dict[str, float]) -> list[str]:
    """Return the two most important parameters that are numbers; between choices nothing can be interpolated."""
    trials = complete_trials(view)
    numbers = [name for name in importances if not isinstance(distribution_of(trials, name), CategoricalDistribution)]
    return numbers[:2] if len(numbers) > 1 else []


def is_raised(view: optuna.Study) -> bool:
    """Tell whether more of the objective is better."""
    return view.direction == StudyDirection.MAXIMIZE


def window_of(view: optuna.Study) -> tuple[float, float] | None:
    """Return the values to look at, if a few bad trials would press all others into a line; else None.

    From the best to four times as far as the middle one lies from it.
    """
    values = np.array([trial.values[0] for trial in complete_trials(view)])
    if len(values) < FEWEST_FOR_IMPORTANCE:
        return None
    best, worst = (values.max(), values.min()) if is_raised(view) else (values.min(), values.max())
    reach = np.median(values) - best
    if reach == 0 or abs(worst - best) < 2 * _REACHES * abs(reach):
        return None
    return tuple(sorted((float(best - 0.4 * reach), float(best + _REACHES * reach))))  # type: ignore[return-value]
