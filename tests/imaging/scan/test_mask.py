"""A brain mask is read as carefully as a scan: right voxels on the right grid, or one clear error."""

import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_brain_mask
from bmenet.runtime.errors import GridMismatchError, VolumeError


@pytest.mark.parametrize("dtype", ["uint8", ">i2", "float32"])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_load_brain_mask_is_true_where_the_file_is_positive(write, head, phantom, dtype, name):
    values = (head > 300).astype(dtype)
    path = write(values, name=name)
    np.testing.assert_array_equal(load_brain_mask(path, phantom.grid), head > 300)


def test_load_brain_mask_heeds_slope_and_intercept(write, head, phantom):
    path = write((head > 300).astype(np.uint8), scl_slope=-1.0, scl_inter=1.0)
    np.testing.assert_array_equal(load_brain_mask(path, phantom.grid), head <= 300)


BAD = {
    "unknown voxel type": ({"datatype": 999}, "real numbers; got unknown"),
    "nine dimensions": ({"dim": [9, 40, 56, 40, 1, 1, 1, 1]}, r"dim\[0\]\); got 9"),
    "32 GB asked for": ({"dim": [3, 2048, 2048, 2048, 1, 1, 1, 1], "datatype": 16, "bitpix": 32}, "at most 134217728"),
}


@pytest.mark.parametrize("case", BAD)
def test_load_brain_mask_refuses_a_bad_header(write, head, phantom, case):
    fields, reason = BAD[case]
    path = write((head > 300).astype(np.uint8), **fields)
    tracemalloc.start()
    with pytest.raises(VolumeError, match=f"expected a brain mask as NIfTI; .*{reason}"):
        load_brain_mask(path, phantom.grid)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_load_brain_mask_refuses_another_format(tmp_path, head, phantom):
    nib.save(nib.MGHImage((head > 300).astype(np.uint8), phantom.affine), tmp_path / "mask.mgz")
    with pytest.raises(VolumeError, match="expected a brain mask as NIfTI"):
        load_brain_mask(tmp_path / "mask.mgz", phantom.grid)


def test_load_brain_mask_refuses_another_grid(write, head, phantom):
    shifted = phantom.affine.copy()
    shifted[0, 3] += 4
    with pytest.raises(GridMismatchError, match="expected the clean scan's grid"):
        load_brain_mask(write((head > 300).astype(np.uint8), shifted), phantom.grid)
