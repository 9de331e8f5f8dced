"""One case of the stage `coarsen`: a degraded volume in, the Coarse-net's result and its sidecar out."""

import json
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from bmenet.config import CoarseConfig
from bmenet.files import read_json, sha256, write_json
from bmenet.fingerprint import code_fingerprint
from bmenet.inference.slices import restore_volume
from bmenet.models.coarse_weights import load_coarse
from bmenet.models.precision import fastest_dtype
from bmenet.models.weights import SPEC_FILE
from bmenet.volume import load_unit_volume, save_unit_volume

FIRST_STAGE_FILES = (
    *("box.py", "brain.py", "grid.py", "intensity.py"),
    *(f"inference/{name}.py" for name in ("agreement", "coil_field", "denoising", "detail", "slices")),
    *(f"models/{name}.py" for name in ("coarse", "precision", "slab", "swinir", "unet")),
)
"""What decides the first stage's result, beside its weights."""


def coarsen_case(degraded_path: Path, coarse_path: Path, weights: Path) -> dict:
    """Restore the degraded volume at `degraded_path`; return the sidecar, which is written last and seals the case.

    Where a sidecar stands that was made from the same volume, weights and code, the case is not done again.

    Returns
    -------
    dict
        ``degraded_sha256``, ``weights_sha256`` (of the Coarse-net's ``model.json``), ``method`` (a fingerprint of the
        code), and ``sha256`` of the result.
    """
    origin = {
        "degraded_sha256": sha256(degraded_path),
        "weights_sha256": sha256(weights / SPEC_FILE),
        "method": code_fingerprint("inference/coarsen.py", "volume.py", *FIRST_STAGE_FILES),
    }
    sidecar_path = coarse_path.with_suffix(".json")
    try:
        done = read_json(sidecar_path)
        if all(done.get(key) == value for key, value in origin.items()) and sha256(coarse_path) == done["sha256"]:
            return done
    except (FileNotFoundError, json.JSONDecodeError):
        pass
    network, config = _network(weights, origin["weights_sha256"])
    degraded = load_unit_volume(degraded_path)
    dtype = torch.float32 if config.precision == "fp32" else fastest_dtype("cpu")
    coarse = restore_volume(network, degraded.data, config=config, autocast_dtype=dtype)
    save_unit_volume(coarse_path, degraded.with_data(coarse))
    sidecar = {**origin, "sha256": sha256(coarse_path)}
    write_json(sidecar_path, sidecar)
    return sidecar


@lru_cache(maxsize=1)
def _network(weights: Path, _digest: str) -> tuple[nn.Module, CoarseConfig]:
    """Load the Coarse-net once a process and once for each state of its weights."""
    network, spec = load_coarse(weights)
    return network, CoarseConfig.model_validate_json(json.dumps(spec["config"]))
