"""Cases on disk: sidecars remake their file, finished cases are kept, stale ones made again."""

import numpy as np
import pytest

from bmenet.config.profiles import load_profile
from bmenet.degradation.case import write_case
from bmenet.degradation.scan import read_sidecar, remake_scan
from bmenet.imaging.scan import load_scan, save_scan, scan_sha256
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.runtime.cache import CaseIndex
from bmenet.runtime.files import sha256


@pytest.fixture
def clean_path(tmp_path, phantom):
    save_unit_volume(tmp_path / "clean.nii", phantom)
    return tmp_path / "clean.nii"


@pytest.fixture
def config():
    return load_profile("demo").degradation


@pytest.mark.parametrize("code", ["100", "010", "001", "111"])
def test_sidecar_remakes_the_file_bit_for_bit_and_records_its_level(clean_path, tmp_path, config, code):
    degraded_path = tmp_path / "degraded.nii"
    write_case(clean_path, degraded_path, config.preset, code, 7, "sub-01")
    sidecar = read_sidecar(degraded_path.with_suffix(".json"))
    save_scan(tmp_path / "again.nii", remake_scan(load_scan(clean_path), scan_sha256(clean_path), sidecar))
    assert sha256(tmp_path / "again.nii") == sha256(degraded_path)
    error = load_unit_volume(degraded_path).data - load_unit_volume(clean_path).data
    assert sidecar["psnr_db"] == pytest.approx(-10 * np.log10(np.mean(error**2)), abs=1e-3)


def test_case_is_kept_and_made_again_when_its_preset_seed_or_file_changed(clean_path, tmp_path, config):
    degraded_path = tmp_path / "degraded.nii"
    index = CaseIndex(tmp_path / "index")
    first = write_case(clean_path, degraded_path, config.preset, "010", 7, "sub-01", index)
    made_at = degraded_path.stat().st_mtime_ns
    assert write_case(clean_path, degraded_path, config.preset, "010", 7, "sub-01", index) == first
    assert degraded_path.stat().st_mtime_ns == made_at
    assert write_case(clean_path, degraded_path, config.presets["severe"], "010", 7, "sub-01", index) != first
    assert write_case(clean_path, degraded_path, config.preset, "010", 8, "sub-01", index) != first
    content = bytearray(degraded_path.read_bytes())
    content[-1] ^= 1
    degraded_path.write_bytes(content)
    assert write_case(clean_path, degraded_path, config.preset, "010", 8, "sub-01", index) != first
    assert write_case(clean_path, degraded_path, config.preset, "010", 7, "sub-01", index) == first
    assert sha256(degraded_path) == first["sha256"]
