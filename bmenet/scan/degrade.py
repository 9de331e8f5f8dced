"""Degrade one scan on its own grid."""

from typing import Any

import numpy as np

from bmenet.config import Severity
from bmenet.degradation import apply, draw
from bmenet.intensity import normalise
from bmenet.scan.scan import Scan
from bmenet.seeding import generator

SIDECAR_FORMAT = 1


def degrade_scan(clean: Scan, preset: Severity, code: str, seed: int, percentile: float) -> tuple[Scan, dict[str, Any]]:
    """Add motion, noise and bias to a scan in native space, in its own intensity scale.

    Unlike a volume of the data set the scan is not clipped at 1: a scalp brighter than the brain stays so.

    Parameters
    ----------
    clean : Scan
    preset : Severity
        The ranges to draw from.
    code : str
        Three digits 0 or 1: motion, noise, bias.
    seed : int
    percentile : float
        Of the foreground; the intensity that the ranges call 1.

    Returns
    -------
    degraded : Scan
        On the same grid.
    sidecar : dict
        ``format``, ``code``, ``seed``, ``preset``, ``intensity_scale`` and ``parameters``, all drawn values: dividing
        the clean scan by the scale and applying the parameters makes the degraded scan again.
    """
    intensities = np.maximum(clean.volume.data, 0)
    _, scale = normalise(intensities, percentile)
    unit = clean.volume.with_data(intensities / np.float32(scale))
    parameters = draw(preset, code, unit, generator(seed, code))
    sidecar = {
        "format": SIDECAR_FORMAT,
        "code": code,
        "seed": seed,
        "preset": preset.model_dump(mode="json"),
        "intensity_scale": scale,
        "parameters": parameters,
    }
    return clean.with_data(apply(unit, parameters).data * np.float32(scale)), sidecar
