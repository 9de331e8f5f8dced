"""What a trial is run with: values of the search space of params.yaml, drawn by a sampler; and the pruners."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    PartialFixedSampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

from bmenet.config import Config, SearchRange, flatten, with_values
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.seeding import derive_seed

_STARTUP_TRIALS = 10
"""Random trials before a model is fitted; half as many must be complete before a trial can be pruned."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # constant_liar: a running trial counts as a bad one, so that parallel trials spread.
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_STARTUP_TRIALS),
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=_STARTUP_TRIALS),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, n_startup_trials=_STARTUP_TRIALS),
    "nsga2": lambda seed: NSGAIISampler(seed=seed, population_size=20),
    "random": lambda seed: RandomSampler(seed=seed),
}

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda _: NopPruner(),
    "median": lambda _: MedianPruner(_STARTUP_TRIALS // 2),
    "percentile": lambda _: PercentilePruner(25.0, _STARTUP_TRIALS // 2),
    "hyperband": lambda last_step: HyperbandPruner(min_resource=1, max_resource=max(last_step, 2)),
    "successive_halving": lambda _: SuccessiveHalvingPruner(min_resource=1),
    "patient": lambda _: PatientPruner(MedianPruner(_STARTUP_TRIALS // 2), patience=1),
}
"""Name to a function from the last step that a trial reports to the pruner."""


class SeededSampler(PartialFixedSampler):
    """A sampler whose randomness is a function of (seed, study, trial number), and whose first trial is given.

    No two workers draw the same numbers, and one worker that is stopped and goes on proposes what it would have
    proposed.

    Parameters
    ----------
    name : str
        Of `SAMPLERS`.
    first : mapping
        Parameter to value in the first trial.
    """

    def __init__(self, name: str, seed: int, first: Mapping[str, Any]) -> None:
        super().__init__({}, RandomSampler(seed=seed))
        self._name, self._seed, self._first = name, seed, first

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take a new sampler for this trial."""
        seed = derive_seed(self._seed, study.study_name, trial.number) % 2**32
        super().__init__(dict(self._first) if is_first(trial) else {}, SAMPLERS[self._name](seed))
        super().before_trial(study, trial)


def is_first(trial: FrozenTrial) -> bool:
    """Tell whether a trial is the first of its study or repeats it: it has the values of params.yaml."""
    return trial.number == 0 or 0 in RetryHeartbeatStaleTrialCallback.retry_history(trial)


def suggest(trial: optuna.Trial, space: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Return dotted key to the value that the trial is to use."""
    return {key: _suggest(trial, key, found) for key, found in space.items()}


def _suggest(trial: optuna.Trial, key: str, found: SearchRange) -> Any:
    if found.choices is not None:
        return trial.suggest_categorical(key, found.choices)
    low, high = found.bounds
    if found.kind == "int":
        return trial.suggest_int(key, int(low), int(high), step=int(found.step or 1), log=found.log)
    return trial.suggest_float(key, low, high, step=found.step, log=found.log)


def current_values(config: Config) -> dict[str, Any]:
    """Return dotted key to the value in params.yaml, of all keys that are searched."""
    flat = flatten(config)
    return {key: flat.get(key) for key in config.tune.space}


def require_space(config: Config) -> None:
    """Check, before anything is run, that every key exists, takes every end of its range, and lies within it now.

    Raises
    ------
    ConfigError
        Otherwise.
    """
    where = f"tune.search_space.{config.tune.scope}"
    for key, found in config.tune.space.items():
        for end in found.ends:
            try:
                with_values(config, {key: end}, where)
            except ConfigError as error:
                raise ConfigError(
                    f"{where}: {key}: expected a range of valid values; {end!r} is none: {error}"
                ) from None
    for key, value in current_values(config).items():
        if not _holds(config.tune.space[key], value):
            raise ConfigError(
                f"{where}: {key}: expected a range that holds the present value, where the search begins; {value!r} is"
                " outside: widen the range, or let `step` meet it"
            )


def _holds(found: SearchRange, value: Any) -> bool:
    """Tell whether a range holds a value."""
    if found.choices is not None:
        return value in found.choices
    low, high = found.bounds
    if not low <= value <= high:
        return False
    return found.step is None or math.isclose(remainder := (value - low) / found.step, round(remainder))
