"""What is known about a subject, as the diffusion prior is told it."""

import numpy as np

from bmenet.brain import foreground_mask
from bmenet.config import Config
from bmenet.covariates import ScaledCovariates, scale_covariates
from bmenet.layout import Layout
from bmenet.volume import load_unit_volume


def subject_covariates(config: Config, layout: Layout, known: dict, subject: str) -> ScaledCovariates:
    """Scale what is known about a subject: age and sex from its table, the brain's volume from its clean volume.

    Parameters
    ----------
    config : Config
    layout : Layout
    known : dict
        Subject to ``age`` and ``sex``, None where not known.
    subject : str
    """
    clean = load_unit_volume(layout.clean(subject))
    brain_ml = np.count_nonzero(foreground_mask(clean.data)) * config.grid.spacing_mm**3 / 1000
    person = known.get(subject, {})
    return scale_covariates(config.covariates, sex=person.get("sex"), age=person.get("age"), brain_ml=brain_ml)
