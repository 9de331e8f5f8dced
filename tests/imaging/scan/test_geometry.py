"""The qform and sform table, and what comes back from a file of any orientation."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.imaging.scan import load_scan, save_scan
from bmenet.runtime.errors import VolumeError

ORIENTATIONS = ["RAS", "LAS", "LPS", "RPI", "AIL", "SPL", "PIR", "ILP"]


def _affine(axes: str, widths_mm=(1.0, 1.5, 2.0), tilt_deg=0.0) -> np.ndarray:
    """Return an affine with the given voxel axes, turned by `tilt_deg` about an oblique direction."""
    directions = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), (40, 56, 40))[:3, :3]
    turn = Rotation.from_rotvec(tilt_deg * np.array([2, 1, 2]) / 3, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ directions @ np.diag(widths_mm)
    affine[:3, 3] = (11.5, -72.25, 30.125)
    return affine


def test_codes_and_units_that_nobody_defined_are_mended_and_told(write, tmp_path):
    scan = load_scan(write(sform_code=127, qform_code=0, xyzt_units=15))
    assert [note.split(":")[0] for note in scan.notes] == [
        "sform_code 127 is not defined",
        "xyzt_units 15 are not defined",
    ]
    save_scan(tmp_path / "out.nii", scan)
    header = nib.load(tmp_path / "out.nii").header
    assert _codes(header) == (2, 2)
    assert header.get_xyzt_units() == ("mm", "sec")


def _codes(header) -> tuple[int, int]:
    return int(header["qform_code"]), int(header["sform_code"])


@pytest.mark.parametrize("axes", ORIENTATIONS)
@pytest.mark.parametrize("tilt_deg", [0.0, 30.0])
def test_a_saved_scan_has_the_bytes_of_geometry_that_its_file_had(write, tmp_path, axes, tilt_deg):
    path = write(affine=_affine(axes, tilt_deg=tilt_deg), qform_code=1, sform_code=2, xyzt_units=10)
    block = bytearray(path.read_bytes())
    block[92:96] = np.float32(2.3).tobytes()  # pixdim[4], where many tools keep TR
    path.write_bytes(block)
    scan = load_scan(path)
    save_scan(tmp_path / "out.nii", scan)
    before, after = nib.load(path).header, nib.load(tmp_path / "out.nii").header
    for field in ("dim", "pixdim", "qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z", "qoffset_x"):
        np.testing.assert_array_equal(before[field], after[field], err_msg=field)
    np.testing.assert_array_equal(scan.volume.affine, nib.load(path).affine)
    assert scan.notes == ()


@pytest.mark.parametrize("widths_mm", [(1, 1, 3), (0.5, 0.5, 0.5), (3, 3, 3)])
def test_load_scan_reads_voxels_of_any_sensible_width_and_refuses_none(write, widths_mm):
    scan = load_scan(write(affine=_affine("LPS", widths_mm)))
    np.testing.assert_allclose(scan.volume.grid.spacing_mm, widths_mm, rtol=1e-6)
    with pytest.raises(VolumeError, match=r"0\.1 to 10 mm wide; got 0 x 0 x 0"):
        load_scan(write(qform_code=0, sform_code=0, pixdim=[1, 0, 0, 0, 0, 0, 0, 0]))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"sform_code": 0, "qform_code": 1}, 1),
        ({"sform_code": 4, "qform_code": 0, "pixdim": [1, 9, 9, 9, 0, 0, 0, 0]}, 4),
    ],
    ids=["qform", "sform"],
)
def test_the_only_matrix_is_copied_to_the_other(write, fields, code):
    affine = _affine("LPS", tilt_deg=30)
    scan = load_scan(write(affine=affine, **fields))
    assert _codes(scan.geometry) == (code, code)
    for found in (scan.geometry.get_sform(), scan.geometry.get_qform(), scan.volume.affine):
        np.testing.assert_allclose(found, affine, atol=1e-4)


def test_a_sform_that_shears_is_not_copied_to_the_qform(write):
    affine = _affine("RAS")
    affine[0, 1] = 0.4
    scan = load_scan(write(affine=_affine("RAS"), qform_code=0, srow_x=affine[0]))
    assert _codes(scan.geometry) == (0, 1)
    np.testing.assert_allclose(scan.volume.affine, affine, atol=1e-6)


def test_both_codes_use_the_sform_and_warn_when_they_differ(write):
    path = write(affine=_affine("RAS"))
    assert load_scan(path).notes == ()
    moved = write(affine=_affine("RAS"), qoffset_x=40.0)
    scan = load_scan(moved)
    assert any("qform and sform differ by up to 28.50 mm" in note for note in scan.notes)
    np.testing.assert_allclose(scan.volume.affine, _affine("RAS"), atol=1e-5)
    assert float(scan.geometry["qoffset_x"]) == 40.0


def test_no_code_warns_about_left_and_right(write):
    scan = load_scan(write(affine=_affine("RAS", (2, 2, 2)), qform_code=0, sform_code=0))
    assert _codes(scan.geometry) == (2, 2)
    assert nib.aff2axcodes(scan.volume.affine) == ("L", "A", "S")
    np.testing.assert_allclose(scan.geometry.get_qform(), scan.geometry.get_sform(), atol=1e-5)
    assert any("LEFT AND RIGHT" in note for note in scan.notes)


@pytest.mark.parametrize(("broken", "used"), [({"quatern_b": 3.0}, "sform"), ({"srow_x": np.nan}, "qform")])
def test_a_broken_matrix_gives_way_to_the_other(write, broken, used):
    affine = _affine("LPS")
    scan = load_scan(write(affine=affine, **broken))
    for found in (scan.geometry.get_sform(), scan.geometry.get_qform(), scan.volume.affine):
        np.testing.assert_allclose(found, affine, atol=1e-4)
    assert any("cannot be used" in note and used not in note for note in scan.notes)
