"""One case, a subject under one code: degrade it to disk with a sidecar that can make it again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bmenet.config import Severity
from bmenet.degradation.compose import SIDECAR_FORMAT, apply, draw
from bmenet.imaging.grid import acquired_mm, standard_grid
from bmenet.imaging.resample import resample_unit
from bmenet.imaging.volume import load_unit_volume, map_unit_volume, save_unit_volume
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
    voxel_mm: Sequence[float] = (0.0,),
) -> dict:
    """Degrade the clean volume at `clean_path`; return the sidecar.

    Of a scan whose voxels, with edges `voxel_mm`, are larger than those of the grid, the acquisition is simulated in
    voxels of its own: see `acquired_mm`.

    A case of which `index` knows that it was made from the same clean volume, preset, seed and code is not made again.
    The sidecar has ``format``, ``subject``, ``code``, ``seed``, ``preset`` (the ranges), ``clean_sha256``,
    ``parameters`` (all drawn values), ``sha256`` of the degraded file, and ``psnr_db`` over the whole grid.
    """
    _, affine = map_unit_volume(clean_path)
    acquired = acquired_mm(voxel_mm, round(affine[0, 0]))
    origin = {
        "format": SIDECAR_FORMAT,
        "subject": subject,
        "code": code,
        "seed": seed,
        "preset": preset.model_dump(mode="json"),
        "clean_sha256": sha256(clean_path),
        "acquired_mm": acquired,
    }
    sidecar_path = degraded_path.with_suffix(".json")
    case, key = degraded_path.stem, join_key(origin, code_hash(__name__))
    if index and index.holds(case, key, degraded_path, sidecar_path):
        return read_json(sidecar_path)
    clean = load_unit_volume(clean_path)
    head = resample_unit(clean, standard_grid(acquired))
    parameters = draw(preset, code, head, generator(seed, subject, code))
    degraded = resample_unit(apply(head, parameters), clean.grid)
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
