"""What the second stage is trained on: clean volumes, and the Coarse-net's results on degraded ones."""

import numpy as np

from bmenet.brain import foreground_mask
from bmenet.config import Config, FineConfig
from bmenet.covariates import ScaledCovariates, scale_covariates
from bmenet.grid import FIELD_OF_VIEW_MM
from bmenet.intensity import blind_scale
from bmenet.layout import Layout
from bmenet.volume import Volume, load_unit_volume


def case_codes(config: FineConfig) -> list[str]:
    """Return the codes that the ControlNet is trained on, and 111, which it is validated on."""
    return sorted({code for code, weight in config.code_weights.items() if weight > 0} | {"111"})


def load_clean(layout: Layout, subject: str) -> Volume:
    """Return a clean volume, scaled as blindly as inference scales one."""
    clean = load_unit_volume(layout.clean(subject))
    return clean.with_data(clean.data / np.float32(reference_scale(clean)))


def load_pair(layout: Layout, subject: str, code: str) -> tuple[Volume, Volume]:
    """Return the coarse result of a case and its clean volume, both scaled by the coarse one's blind scale."""
    coarse = load_unit_volume(layout.coarse(subject, code))
    clean = load_unit_volume(layout.clean(subject))
    scale = np.float32(reference_scale(coarse))
    return coarse.with_data(coarse.data / scale), clean.with_data(clean.data / scale)


def reference_scale(reference: Volume) -> float:
    """Return what the second stage divides intensities by."""
    return blind_scale(reference.data, FIELD_OF_VIEW_MM[0] / reference.data.shape[0])


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
