"""What is known about a subject: age and sex from its table, volumes from its clean scan."""

from collections.abc import Iterable

import numpy as np

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.imaging.ventricles import estimate_ventricles_ml
from bmenet.imaging.volume import load_mask, load_unit_volume
from bmenet.networks.covariate_encoder import ScaledCovariates, scale_covariates


def subject_covariates(config: Config, layout: Layout, known: dict, subject: str) -> ScaledCovariates:
    """Scale what is known about a subject: ``age`` and ``sex`` if `known` has them, volumes from its clean volume."""
    clean = load_unit_volume(layout.clean(subject))
    brain_mask = load_mask(layout.brain_mask(subject))
    brain_ml = np.count_nonzero(brain_mask) * config.grid.spacing_mm**3 / 1000
    person = known.get(subject, {})
    ventricles_ml = estimate_ventricles_ml(clean, brain_mask)
    return scale_covariates(
        config.covariates, sex=person.get("sex"), age=person.get("age"), ventricles_ml=ventricles_ml, brain_ml=brain_ml
    )


def informed_covariates(known: dict, subjects: Iterable[str]) -> list[bool]:
    """Return, for each covariate, whether any of the subjects tells it; volumes are always measured."""
    people = [known.get(subject, {}) for subject in subjects]
    return [*(any(person.get(key) is not None for person in people) for key in ("sex", "age")), True, True]
