"""One case, a subject under one code: degrade it to disk with a sidecar that can make it again."""

from pathlib import Path

import numpy as np

from bmenet.config import Severity
from bmenet.degradation.compose import SIDECAR_FORMAT, apply, draw
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import read_json, sha256, write_json
from bmenet.runtime.seeding import generator


def write_case(
    clean_path: Path,
    degraded_path: Path,
    preset: Severity,
    code: str,
    seed: int,
    subject: str,
    index: CaseIndex | None = None,
) -> dict:
    """Degrade the clean volume at `clean_path`; return the sidecar.

    A case of which `index` knows that it was made from the same clean volume, preset, seed and code is not made again.
    The sidecar has ``format``, ``subject``, ``code``, ``seed``, ``preset`` (the ranges), ``clean_sha256``,
    ``parameters`` (all drawn values), ``sha256`` of the degraded file, and ``psnr_db`` over the whole grid.
    """
    origin = {
        "format": SIDECAR_FORMAT,
        "subject": subject,
        "code": code,
        "seed": seed,
        "preset": preset.model_dump(mode="json"),
        "clean_sha256": sha256(clean_path),
    }
    sidecar_path = degraded_path.with_suffix(".json")
    case, key = degraded_path.stem, join_key(origin, code_hash(__name__))
    if index and index.holds(case, key, degraded_path, sidecar_path):
        return read_json(sidecar_path)
    clean = load_unit_volume(clean_path)
    parameters = draw(preset, code, clean, generator(seed, subject, code))
    degraded = apply(clean, parameters)
    save_unit_volume(degraded_path, degraded)
    mean_square = float(np.mean((degraded.data - clean.data) ** 2, dtype=np.float64))
    sidecar = {
        **origin,
        "parameters": parameters,
        "sha256": sha256(degraded_path),
        "psnr_db": -10 * float(np.log10(mean_square)) if mean_square else None,
    }
    write_json(sidecar_path, sidecar)
    if index:
        index.record(case, key, degraded_path, sidecar_path)
    return sidecar
