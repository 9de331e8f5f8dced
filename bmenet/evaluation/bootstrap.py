"""Means over subjects with bootstrap intervals."""

from dataclasses import asdict, dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over subjects and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return ``mean``, ``low`` and ``high``."""
        return asdict(self)


def bootstrap_mean(values: np.ndarray, resamples: int, generator: np.random.Generator) -> Interval:
    """Return the mean of one value a subject with its percentile bootstrap interval (Efron and Tibshirani, 1993).

    For a paired comparison, give the differences. With one subject the interval is that subject's value.

    Parameters
    ----------
    values : ndarray, shape (subjects,)
    resamples : int
        Draws of `subjects` subjects with replacement, from `generator`.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"`values`: expected one value for each of one or more subjects; got shape {values.shape}")
    draws = generator.integers(values.size, size=(resamples, values.size))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(values[draws].mean(axis=1), [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high))
