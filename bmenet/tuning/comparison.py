"""The best values against the present ones, subject by subject, on the validation volumes of the study."""

from collections.abc import Mapping

import numpy as np
from optuna.trial import FrozenTrial

from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.runtime.seeding import generator
from bmenet.tuning.composite import gain
from bmenet.tuning.study import CASES


def paired_gains(
    best: FrozenTrial, default: FrozenTrial, composite: tuple[str, Mapping[str, float]], resamples: int, seed: int
) -> dict[str, Interval]:
    """Return metric to the mean gain of one trial over another, with its interval over subjects; positive is better.

    Parameters
    ----------
    best, default : FrozenTrial
        Complete ones.
    composite : (str, mapping)
        Name and weights of the composite, which is compared first.
    resamples, seed : int
        Of the bootstrap.
    """
    ours, theirs = (by_subject(trial.user_attrs[CASES]) for trial in (best, default))
    name, weights = composite
    differences = {name: [gain(weights, ours[subject], theirs[subject]) for subject in sorted(ours)]}
    for metric in weights:
        differences[metric] = [gain({metric: 1.0}, ours[subject], theirs[subject]) for subject in sorted(ours)]
    return {
        key: bootstrap_mean(np.array(found), resamples, generator(seed, "bootstrap", key))
        for key, found in differences.items()
    }


def by_subject(cases: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return subject to metrics, means over its codes."""
    subjects: dict[str, list[Mapping[str, float]]] = {}
    for case, metrics in cases.items():
        subjects.setdefault(case.split()[0], []).append(metrics)
    return {
        subject: {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}
        for subject, found in subjects.items()
    }
