"""The cases that the second stage is trained on: a degraded volume in, the coarse result out."""

from pathlib import Path

from bmenet.config import FineConfig
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.networks.coarse import first_stage_digest
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.runtime.cache import CaseIndex, join_key
from bmenet.runtime.code import code_hash
from bmenet.runtime.files import sha256

VALIDATED_CODE = "111"


def case_codes(config: FineConfig) -> list[str]:
    """Return the codes that the ControlNet is trained on, and the one that it is validated on."""
    return sorted({code for code, weight in config.code_weights.items() if weight > 0} | {VALIDATED_CODE})


def coarsen_case(degraded_path: Path, coarse_path: Path, weights: Path, index: CaseIndex) -> None:
    """Restore the degraded volume at `degraded_path` into `coarse_path`, unit intensities: a case for the second stage.

    A case that `index` says was made from the same volume, weights and code is not made again.
    """
    key = join_key(sha256(degraded_path), first_stage_digest(weights), code_hash(__name__))
    if index.holds(coarse_path.stem, key, coarse_path):
        return
    degraded = load_unit_volume(degraded_path)
    coarse = CoarseNet.load_once(weights).restore(degraded.data)
    save_unit_volume(coarse_path, degraded.with_data(coarse))
    index.record(coarse_path.stem, key, coarse_path)
