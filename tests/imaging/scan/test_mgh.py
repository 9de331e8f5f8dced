"""FreeSurfer's volumes in and out: the same voxels in the same places, and damaged files refused."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_scan, save_scan, stem
from bmenet.runtime.errors import VolumeError

AFFINE = nib.affines.from_matvec([[-1.2, 0, 0], [0, 0, 1], [0, -1, 0]], [20, -30, 40])


def write_mgh(path, data, affine=AFFINE):
    nib.save(nib.MGHImage(data, affine), path)
    return path


@pytest.mark.parametrize("name", ["scan.mgz", "scan.mgh"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_a_volume_of_freesurfer_comes_back_as_it_went_in(tmp_path, head, name, dtype):
    data = (head / 4).astype(dtype)
    scan = load_scan(write_mgh(tmp_path / name, data))
    assert scan.notes == ()
    np.testing.assert_allclose(scan.volume.affine, AFFINE, atol=1e-5)
    out = tmp_path / f"out{name.removeprefix('scan')}"
    save_scan(out, scan)
    image = nib.load(out)
    assert image.get_data_dtype().newbyteorder("=") == dtype
    np.testing.assert_array_equal(image.dataobj, data)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-5)


def test_nifti_and_freesurfer_turn_into_each_other(tmp_path, write, head, phantom):
    path = write(head, scl_slope=0.5, scl_inter=0)
    save_scan(tmp_path / "out.mgz", load_scan(path))
    scan = load_scan(tmp_path / "out.mgz")
    np.testing.assert_allclose(scan.volume.data, head / 2)
    np.testing.assert_allclose(scan.volume.affine, phantom.affine, atol=1e-4)
    save_scan(tmp_path / "back.nii.gz", scan)
    np.testing.assert_allclose(nib.load(tmp_path / "back.nii.gz").get_fdata(), head / 2)


def test_a_header_without_directions_is_told(tmp_path, head):
    block = bytearray(gzip.decompress(write_mgh(tmp_path / "scan.mgz", head).read_bytes()))
    block[28:30] = b"\0\0"  # goodRASFlag
    path = tmp_path / "unknown.mgh"
    path.write_bytes(block)
    assert "LEFT AND RIGHT ARE A GUESS" in " ".join(load_scan(path).notes)


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (4, b"\0\0\0\1", "2D image"),
        (4, b"\x7f\xff\xff\xff", "at most"),
        (16, b"\0\0\0\5", "series"),
        (20, b"\0\0\0\x63", "type 99"),
        (30, b"\x7f\xc0\0\0", "lie somewhere"),
    ],
)
def test_a_damaged_header_is_refused(tmp_path, head, where, value, reason):
    block = bytearray(gzip.decompress(write_mgh(tmp_path / "scan.mgz", head).read_bytes()))
    block[where : where + 4] = value
    path = tmp_path / "damaged.mgh"
    path.write_bytes(block)
    with pytest.raises(VolumeError, match=reason):
        load_scan(path)


def test_a_truncated_file_is_refused(tmp_path, head):
    path = write_mgh(tmp_path / "scan.mgh", head)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(VolumeError, match="truncated"):
        load_scan(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
def test_stem_is_the_name_without_the_suffixes_of_a_volume(tmp_path, suffix):
    assert stem(tmp_path / f"a.b{suffix}") == "a.b"
