"""What the second stage is trained on: clean volumes, and the Coarse-net's results on degraded ones."""

from collections.abc import Iterable, Sequence

import numpy as np

from bmenet.config import FineConfig
from bmenet.data.layout import Layout
from bmenet.imaging.grid import FIELD_OF_VIEW_MM
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.runtime.files import sha256


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


def coarse_digests(layout: Layout, subjects: Iterable[str], codes: Sequence[str]) -> list[str]:
    """Return the SHA-256 of the coarse results of cases."""
    return [sha256(layout.coarse(subject, code)) for subject in subjects for code in codes]
