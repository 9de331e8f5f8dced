"""One case of the stage `coarsen`: a degraded volume in, the Coarse-net's result and its sidecar out."""

import json
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from bmenet.config import CoarseConfig
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.networks.coarse_weights import load_coarse
from bmenet.networks.precision import fastest_dtype
from bmenet.networks.weights import SPEC_FILE
from bmenet.restoration.slices import restore_volume
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import read_json, sha256, write_json


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
        "method": code_hash(__name__),
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
