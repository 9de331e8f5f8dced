"""Covariates of the denoiser as numbers in [0, 1]: sex, age, ventricular volume, brain volume."""

from typing import NamedTuple

import numpy as np

from bmenet.config import CovariatesConfig, Range

COVARIATES = ("sex", "age", "ventricles", "brain")
"""Their order in every vector; that of BrainLDM."""

RANGES = ("age_years", "ventricles_ml", "brain_ml")
"""Keys of the section `covariates` that say what goes to [0, 1]."""

UNKNOWN = 0.5
"""Value of a covariate that is not known: the middle of its range."""


class ScaledCovariates(NamedTuple):
    """Covariates of one subject.

    Attributes
    ----------
    values : ndarray, shape (4,), float32
        Each in [0, 1], in the order of `COVARIATES`; `UNKNOWN` where not known.
    is_known : ndarray of bool, shape (4,)
    """

    values: np.ndarray
    is_known: np.ndarray


def scale_covariates(
    config: CovariatesConfig,
    *,
    sex: str | None = None,
    age: float | None = None,
    ventricles_ml: float | None = None,
    brain_ml: float | None = None,
) -> ScaledCovariates:
    """Scale the known covariates of a subject; values beyond a range are clipped to its end.

    Parameters
    ----------
    config : CovariatesConfig
        The ranges that go to [0, 1].
    sex : {"F", "M"}, optional
        0 for F, 1 for M, as in BrainLDM.
    age : float, optional
        Years.
    ventricles_ml, brain_ml : float, optional
        Millilitres.
    """
    values = [
        None if sex is None else float(sex == "M"),
        _scale(age, config.age_years),
        _scale(ventricles_ml, config.ventricles_ml),
        _scale(brain_ml, config.brain_ml),
    ]
    known = np.array([value is not None for value in values])
    filled = np.array([UNKNOWN if value is None else value for value in values], dtype=np.float32)
    return ScaledCovariates(filled, known)


def _scale(value: float | None, span: Range) -> float | None:
    """Map a range to [0, 1]."""
    return None if value is None else float(np.clip((value - span.low) / (span.high - span.low), 0, 1))
