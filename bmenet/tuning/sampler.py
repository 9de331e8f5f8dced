"""Samplers and pruners by name; a new one is a line here and a name in `TuneConfig`."""

import warnings
from collections.abc import Callable
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
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from bmenet.runtime.seeding import derive_seed

_STARTUP_TRIALS = 10
"""Drawn at random before a model is fitted; before a trial can be pruned half as many must be complete."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # Parallel trials must not be drawn to one place: a running one counts as a bad one.
    "tpe": lambda seed: TPESampler(
        seed=seed,
        multivariate=True,
        constant_liar=True,
        n_startup_trials=_STARTUP_TRIALS,
    ),
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
"""Name to what makes a pruner, given the last step that a trial reports at."""


class SeededSampler(BaseSampler):
    """A sampler whose randomness is a function of (seed, study, trial number).

    However many processes work at a study, and however often it is stopped, each trial draws its own numbers: no two
    workers draw the same, and one worker that goes on proposes what it would have proposed.

    Parameters
    ----------
    name : str
        Of `SAMPLERS`.
    seed : int
    """

    def __init__(self, name: str, seed: int) -> None:
        self._name, self._seed = name, seed
        self._sampler: BaseSampler = RandomSampler(seed=0)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Make the sampler of this trial."""
        seed = derive_seed(self._seed, study.study_name, trial.number) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._sampler = SAMPLERS[self._name](seed)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, optuna.distributions.BaseDistribution]:
        """Return the parameters that are drawn together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        search_space: dict[str, optuna.distributions.BaseDistribution],
    ) -> dict[str, Any]:
        """Draw them."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: optuna.distributions.BaseDistribution,
    ) -> Any:
        """Draw one by itself."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        state: optuna.trial.TrialState,
        values: Any,
    ) -> None:
        """Tell the sampler how its trial ended."""
        self._sampler.after_trial(study, trial, state, values)
