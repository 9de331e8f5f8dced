"""Samplers and pruners by name; a new one is a line here and a name in `TuneConfig`."""

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
