"""What the second stage is trained on: clean volumes, and the Coarse-net's results on degraded ones."""

from collections.abc import Iterable, Sequence

import numpy as np

from bmenet.data.layout import Layout
from bmenet.imaging.grid import FIELD_OF_VIEW_MM
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.runtime.files import sha256


def load_clean(layout: Layout, subject: str) -> Volume:
    """Return a clean volume, scaled as blindly as inference scales one."""
    clean = load_unit_volume(layout.clean(subject))
    return clean.with_data(clean.data / _scale(clean))


def load_pair(layout: Layout, subject: str, code: str) -> tuple[Volume, Volume]:
    """Return the coarse result of a case and its clean volume, both scaled by the coarse one's blind scale."""
    coarse = load_unit_volume(layout.coarse(subject, code))
    clean = load_unit_volume(layout.clean(subject))
    scale = _scale(coarse)
    return coarse.with_data(coarse.data / scale), clean.with_data(clean.data / scale)


def coarse_digests(layout: Layout, subjects: Iterable[str], codes: Sequence[str]) -> list[str]:
    """Return the SHA-256 of the coarse results of cases."""
    return [sha256(layout.coarse(subject, code)) for subject in subjects for code in codes]


def _scale(volume: Volume) -> np.float32:
    """Return what the second stage divides intensities by."""
    return np.float32(blind_scale(volume.data, FIELD_OF_VIEW_MM[0] / volume.data.shape[0]))
