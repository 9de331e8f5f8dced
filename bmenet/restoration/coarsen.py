"""One case of the stage `coarsen`: a degraded volume in, the Coarse-net's result out."""

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
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256


def coarsen_case(degraded_path: Path, coarse_path: Path, weights: Path, index: CaseIndex) -> None:
    """Restore the degraded volume at `degraded_path` into `coarse_path`, unit intensities.

    A case that `index` says was made from the same volume, weights and code is not made again.
    """
    digest = sha256(weights / SPEC_FILE)
    key = join_key(sha256(degraded_path), digest, code_hash(__name__))
    if index.holds(coarse_path.stem, key, coarse_path):
        return
    network, config = _network(weights, digest)
    degraded = load_unit_volume(degraded_path)
    dtype = torch.float32 if config.precision == "fp32" else fastest_dtype("cpu")
    coarse = restore_volume(network, degraded.data, config=config, autocast_dtype=dtype)
    save_unit_volume(coarse_path, degraded.with_data(coarse))
    index.record(coarse_path.stem, key, coarse_path)


@lru_cache(maxsize=1)
def _network(weights: Path, _digest: str) -> tuple[nn.Module, CoarseConfig]:
    """Load the Coarse-net once a process and once for each state of its weights."""
    network, spec = load_coarse(weights)
    return network, CoarseConfig.model_validate_json(json.dumps(spec["config"]))
