import gzip

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan.space import result_bytes

SHAPE = (12, 13, 14)
VOXELS = 12 * 13 * 14


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz"])
def test_a_header_tells_how_much_its_voxels_take_however_well_they_are_packed(tmp_path, dtype, suffix):
    path = tmp_path / f"scan{suffix}"
    kind = nib.MGHImage if suffix == ".mgz" else nib.Nifti1Image
    nib.save(kind(np.zeros(SHAPE, dtype), np.eye(4)), path)
    assert result_bytes(path) == VOXELS * np.dtype(dtype).itemsize


def test_only_the_header_is_read(tmp_path):
    """What lies behind it is cut off, which reading the voxels would refuse."""
    path = tmp_path / "scan.nii.gz"
    whole = nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)).to_bytes()
    path.write_bytes(gzip.compress(whole[:400]))
    assert result_bytes(path) == VOXELS * 2


def test_a_header_that_claims_more_than_any_head_counts_as_one_that_cannot_be_read(tmp_path):
    path = tmp_path / "scan.nii"
    header = nib.Nifti1Header()
    header.set_data_shape((30000, 30000, 30000))
    path.write_bytes(header.binaryblock + bytes(4))
    assert result_bytes(path) == 352


def test_a_series_of_dicom_takes_twice_its_files_and_what_is_not_there_nothing(tmp_path):
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(3):
        (folder / str(number)).write_bytes(bytes(128) + b"DICM" + bytes(1000))
    (folder / "notes.txt").write_text("nothing")
    assert result_bytes(folder) == 2 * 3 * 1132
    assert result_bytes(folder / "1") == 2 * 1132
    (tmp_path / "empty").mkdir()
    assert result_bytes(tmp_path / "empty") == result_bytes(tmp_path / "none") == 0
