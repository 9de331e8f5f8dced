"""What is written: the input's grid, type and scale, whole or not at all, and nothing that tells whose scan it is."""

import gzip
import json
import os
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.grid import standard_grid
from bmenet.imaging.scan import load_scan, save_scan
from bmenet.imaging.scan.sidecar import ENHANCED
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError

CANARY = "JaneDoe19"


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32"])
def test_save_scan_gives_back_what_load_scan_read(write, tmp_path, head, name, dtype):
    scan = load_scan(write((head // 8).astype(dtype), scl_slope=0.25, scl_inter=10))
    save_scan(tmp_path / name, scan)
    again = load_scan(tmp_path / name)
    assert (tmp_path / name).read_bytes()[:2] == (b"\x1f\x8b" if name.endswith("gz") else b"\x5c\x01")
    np.testing.assert_array_equal(again.volume.data, scan.volume.data)
    assert again.dtype == scan.dtype
    save_scan(tmp_path / f"again_{name}", scan)
    assert (tmp_path / f"again_{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_save_scan_rounds_to_the_integer_type_of_the_input_unless_it_is_too_small(write, tmp_path, head):
    scan = load_scan(write(scl_slope=2, scl_inter=-4))
    save_scan(tmp_path / "out.nii", scan.with_data(scan.volume.data + 0.9))
    assert nib.load(tmp_path / "out.nii").header.get_data_dtype() == np.int16
    np.testing.assert_array_equal(load_scan(tmp_path / "out.nii").volume.data, scan.volume.data)
    scan = load_scan(write((head // 8).astype(np.uint8)))
    save_scan(tmp_path / "out.nii", scan.with_data(scan.volume.data * 3.5))
    assert nib.load(tmp_path / "out.nii").header.get_data_dtype() == np.float32
    np.testing.assert_array_equal(load_scan(tmp_path / "out.nii").volume.data, scan.volume.data * np.float32(3.5))


def test_save_scan_in_standard_space_says_so(write, tmp_path):
    grid = standard_grid(4)
    scan = load_scan(write()).in_standard_space(Volume(np.ones(grid.shape, np.float32), grid.affine))
    save_scan(tmp_path / "out.nii", scan)
    image = nib.load(tmp_path / "out.nii")
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (4, 4)
    assert image.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(image.affine, grid.affine)
    assert image.shape == grid.shape


def test_save_scan_writes_no_free_text_and_no_extension(write, tmp_path):
    path = write(descrip=CANARY, aux_file=CANARY, intent_name=CANARY, db_name=CANARY)
    image = nib.load(path)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", CANARY.encode()))
    named = tmp_path / f"{CANARY}.nii"
    nib.save(image, named)
    assert named.read_bytes().count(CANARY.encode()) == 5
    for name in ("out.nii", "out.nii.gz"):
        save_scan(tmp_path / name, load_scan(named))
        written = (tmp_path / name).read_bytes()
        assert CANARY.encode() not in written
        assert CANARY.encode() not in (gzip.decompress(written) if name.endswith("gz") else written)
        header = nib.load(tmp_path / name).header
        assert header.extensions == []
        assert all(header[field].item() == b"" for field in ("descrip", "aux_file", "intent_name", "db_name"))


@pytest.mark.parametrize(
    ("name", "reason"), [("out.img", "ends in .nii"), ("none/out.nii", "make it first"), ("folder.nii", "got a folder")]
)
def test_save_scan_refuses_a_path_it_cannot_write(write, tmp_path, name, reason):
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(VolumeError, match=reason):
        save_scan(tmp_path / name, load_scan(write()))


def test_save_scan_refuses_a_folder_that_cannot_be_written_to(write, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(VolumeError, match="expected a folder that can be written to"):
        save_scan(tmp_path / "out.nii", load_scan(write()))


def test_save_scan_leaves_the_old_file_when_the_disk_refuses(write, tmp_path, monkeypatch):
    scan = load_scan(write())
    save_scan(tmp_path / "out.nii", scan)
    before = (tmp_path / "out.nii").read_bytes()

    def refuse(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(VolumeError, match=r"out\.nii: cannot be written \(No space left"):
        save_scan(tmp_path / "out.nii", replace(scan, slope=2.0))
    assert (tmp_path / "out.nii").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["out.nii", "scan.nii"]


def test_a_sidecar_that_another_process_has_removed_by_then_is_no_reason_to_refuse(tmp_path, phantom, monkeypatch):
    nib.save(nib.Nifti1Image(phantom.data, phantom.affine), tmp_path / "scan.nii")
    monkeypatch.setattr(type(ENHANCED), "check", lambda self, out: {"format": 1})
    sidecar = {"format": 1, "enhanced": {}, "settings": {}, "origin": {}}
    ENHANCED.save(tmp_path / "out.nii", load_scan(tmp_path / "scan.nii"), sidecar)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == sidecar
