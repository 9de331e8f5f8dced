"""Degrade one scan on its own grid, for the first time or again from its sidecar."""

from pathlib import Path

import numpy as np

from bmenet.config import Severity
from bmenet.degradation.compose import SIDECAR_FORMAT, apply, draw
from bmenet.imaging.intensity import normalise
from bmenet.imaging.scan import Scan
from bmenet.imaging.scan.sidecar import DEGRADED, Sidecar
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import read_json
from bmenet.runtime.seeding import generator


def degrade_scan(
    clean: Scan, clean_sha256: str, preset: Severity, code: str, seed: int, percentile: float
) -> tuple[Scan, Sidecar]:
    """Add motion, noise and bias to a scan in native space, in its own intensity scale.

    Unlike a volume of the data set the scan is not clipped at 1: a scalp brighter than the brain stays so. Of `preset`
    come the ranges, and 1 in them is the `percentile` of the foreground. The sidecar has ``format``, ``code``,
    ``seed``, ``preset``, ``clean_sha256``, ``intensity_scale`` and ``parameters``. By `clean_sha256`, from
    `scan_sha256`, `remake_scan` knows the clean scan.
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
    VolumeError if `clean` is another scan, or the parameters are damaged.
    """
    if sidecar["clean_sha256"] != clean_sha256:
        raise VolumeError(
            f"expected the clean scan that the sidecar was made from, SHA-256 {sidecar['clean_sha256']}; got another"
            f" one, {clean_sha256}"
        )
    try:
        scale = np.float32(sidecar.get("intensity_scale", 1.0))
        unit = clean.volume.with_data(np.maximum(clean.volume.data, 0) / scale)
        degraded = apply(unit, sidecar["parameters"], sidecar.get("acquired_mm"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise VolumeError(f"sidecar: expected drawn parameters; got damaged ones ({error!r})") from error
    return clean.with_data(degraded.data * scale)


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar to make its degraded scan again.

    VolumeError if it is no sidecar of a degraded scan, or of a format that this version does not know.
    """
    try:
        sidecar = read_json(path)
    except ValueError as error:
        raise VolumeError(f"{path}: expected the sidecar of a degraded scan; got no JSON ({error})") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    if not DEGRADED.has(sidecar) or "clean_sha256" not in sidecar:
        raise VolumeError(
            f"{path}: expected the sidecar of a degraded scan, with format, parameters and clean_sha256; got another"
            " file, or one of an older version"
        )
    if sidecar["format"] != SIDECAR_FORMAT:
        raise VolumeError(f"{path}: expected sidecar format {SIDECAR_FORMAT}; got {sidecar['format']!r}")
    return sidecar
