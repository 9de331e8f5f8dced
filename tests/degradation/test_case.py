"""Cases on disk: sidecars remake their file, finished cases are kept, stale ones made again."""

import numpy as np
import pytest

from bmenet.config.profiles import load_profile
from bmenet.degradation.case import write_case
from bmenet.degradation.scan import read_sidecar, remake_scan
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.scan import load_scan, save_scan, scan_sha256
from bmenet.imaging.template import load_template
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


@pytest.mark.parametrize(
    ("code", "voxel_mm"), [("100", 4.0), ("010", 4.0), ("001", 4.0), ("111", 4.0), ("111", 2.0), ("100", 5.0)]
)
def test_sidecar_remakes_the_file_bit_for_bit_and_records_its_level(clean_path, tmp_path, config, code, voxel_mm):
    degraded_path = tmp_path / "degraded.nii"
    write_case(clean_path, degraded_path, config.preset, code, 7, "sub-01", voxel_mm=[1.0, voxel_mm])
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


def test_noise_is_as_coarse_as_the_voxels_of_the_scan(tmp_path, config):
    clean = tmp_path / "clean.nii"
    save_unit_volume(clean, load_template(standard_grid(2)))
    noises = []
    for voxel_mm in (2.0, 4.0):
        write_case(clean, tmp_path / "degraded.nii", config.preset, "010", 7, "sub-01", voxel_mm=[voxel_mm])
        noise = load_unit_volume(tmp_path / "degraded.nii").data - load_unit_volume(clean).data
        noises.append(noise[30:50, 40:70, 30:50])
    # Neighbours of white noise have nothing in common; those of noise in voxels of twice the edge have much.
    alike = [np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1] for noise in noises]
    assert alike[0] < 0.2 < 0.5 < alike[1]
