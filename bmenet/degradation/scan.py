"""Degrade one scan on its own grid, for the first time or again."""

import numpy as np

from bmenet.config import Severity
from bmenet.degradation import apply, draw
from bmenet.imaging.intensity import normalise
from bmenet.imaging.scan.scan import Scan
from bmenet.imaging.scan.sidecar import SIDECAR_FORMAT, Sidecar
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.seeding import generator


def degrade_scan(
    clean: Scan, clean_sha256: str, preset: Severity, code: str, seed: int, percentile: float
) -> tuple[Scan, Sidecar]:
    """Add motion, noise and bias to a scan in native space, in its own intensity scale.

    Unlike a volume of the data set the scan is not clipped at 1: a scalp brighter than the brain stays so.

    Parameters
    ----------
    clean : Scan
    clean_sha256 : str
        From `scan_sha256`; by it `remake_scan` knows the clean scan.
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
        All drawn values, and what they belong to: see `Sidecar` and `remake_scan`.
    """
    intensities = np.maximum(clean.volume.data, 0)
    _, scale = normalise(intensities, percentile)
    unit = clean.volume.with_data(intensities / np.float32(scale))
    sidecar = {
        "format": SIDECAR_FORMAT,
        "code": code,
        "seed": seed,
        "preset": preset.model_dump(mode="json"),
        "clean_sha256": clean_sha256,
        "intensity_scale": scale,
        "parameters": draw(preset, code, unit, generator(seed, code)),
    }
    return remake_scan(clean, clean_sha256, sidecar), sidecar


def remake_scan(clean: Scan, clean_sha256: str, sidecar: Sidecar) -> Scan:
    """Make a degraded scan from its clean one and its sidecar: divide by the scale, apply the parameters, multiply.

    A degraded volume of the data set is made so too; its sidecar has no scale, for its intensities are unit ones.

    Raises
    ------
    VolumeError
        If `clean` is another scan, or the parameters are damaged.
    """
    if sidecar["clean_sha256"] != clean_sha256:
        raise VolumeError(
            f"expected the clean scan that the sidecar was made from, SHA-256 {sidecar['clean_sha256']}; got another"
            f" one, {clean_sha256}"
        )
    try:
        scale = np.float32(sidecar.get("intensity_scale", 1.0))
        degraded = apply(clean.volume.with_data(np.maximum(clean.volume.data, 0) / scale), sidecar["parameters"])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise VolumeError(f"sidecar: expected drawn parameters; got damaged ones ({error!r})") from error
    return clean.with_data(degraded.data * scale)
