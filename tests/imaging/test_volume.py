import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.volume import (
    UNIT_STEP,
    load_field,
    load_mask,
    load_unit_volume,
    map_unit_volume,
    save_field,
    save_mask,
    save_unit_volume,
)
from bmenet.runtime.errors import GridMismatchError, VolumeError


def test_unit_volume_comes_back_within_half_a_step(tmp_path, phantom, generator):
    noisy = phantom.with_data(phantom.data + generator.uniform(0, 2.5, phantom.data.shape))
    save_unit_volume(tmp_path / "a.nii", noisy)
    loaded = load_unit_volume(tmp_path / "a.nii")
    assert loaded.data.dtype == np.float32
    np.testing.assert_array_equal(loaded.affine, noisy.affine)
    assert np.abs(loaded.data - noisy.data).max() <= UNIT_STEP / 2 + 1e-6


def test_unit_volume_is_a_nifti_any_viewer_reads_and_saved_again_the_same_file(tmp_path, phantom):
    save_unit_volume(tmp_path / "a.nii", phantom)
    save_unit_volume(tmp_path / "b.nii", load_unit_volume(tmp_path / "a.nii"))
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()
    image = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(image.get_fdata(), phantom.data, atol=UNIT_STEP)
    assert image.header.get_xyzt_units()[0] == "mm"
    for form, code in (image.header.get_sform(coded=True), image.header.get_qform(coded=True)):
        np.testing.assert_allclose(form, phantom.affine, atol=1e-5)
        assert code == 4  # MNI152


def test_map_unit_volume_maps_the_counts_without_reading_them(tmp_path, phantom):
    save_unit_volume(tmp_path / "a.nii", phantom)
    counts, _ = map_unit_volume(tmp_path / "a.nii")
    assert isinstance(counts, np.memmap)
    assert counts.dtype == np.uint16
    np.testing.assert_array_equal(counts * np.float32(UNIT_STEP), load_unit_volume(tmp_path / "a.nii").data)


@pytest.mark.parametrize("value", [-0.01, 4.0, np.nan, np.inf])
def test_save_unit_volume_refuses_values_it_cannot_store(tmp_path, phantom, value):
    data = phantom.data.copy()
    data[3, 4, 5] = value
    with pytest.raises(VolumeError, match=r"a\.nii: expected finite intensities in \[0, 4\); got"):
        save_unit_volume(tmp_path / "a.nii", phantom.with_data(data))
    assert list(tmp_path.iterdir()) == []


def test_load_unit_volume_refuses_other_files(tmp_path, phantom):
    path = tmp_path / "a.nii"

    def refused(reason):
        with pytest.raises(VolumeError, match=reason):
            load_unit_volume(path)

    refused("no such file")
    path.write_text("not a volume")
    refused("expected a whole NIfTI volume")
    save_unit_volume(path, phantom)
    path.write_bytes(path.read_bytes()[:-100])
    refused("expected a whole NIfTI volume")
    nib.save(nib.Nifti1Image(phantom.data, phantom.affine), path)
    refused("got float32")
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 2), np.uint16), phantom.affine), path)
    refused("4 dimensions")


def test_with_data_keeps_the_grid_and_the_type(phantom):
    doubled = phantom.with_data(phantom.data.astype(np.float64) * 2)
    assert doubled.data.dtype == np.float32
    assert doubled.grid.same_as(phantom.grid)
    with pytest.raises(GridMismatchError, match=r"expected shape \(40, 56, 40\); got \(2, 2, 2\)"):
        phantom.with_data(np.zeros((2, 2, 2)))


def test_mask_and_field_come_back_and_the_same_ones_give_the_same_bytes(tmp_path, phantom, monkeypatch):
    inside, field = phantom.data > 0.4, phantom.with_data(1 + phantom.data / 3)
    for name, time in (("a", 1e9), ("b", 2e9)):
        monkeypatch.setattr("time.time", lambda time=time: time)  # gzip would note it
        save_mask(tmp_path / f"{name}_mask.nii.gz", phantom.with_data(inside))
        save_field(tmp_path / f"{name}_field.nii.gz", field)
    for kind in ("mask", "field"):
        one, other = ((tmp_path / f"{name}_{kind}.nii.gz").read_bytes() for name in ("a", "b"))
        assert one == other
    found = load_mask(tmp_path / "a_mask.nii.gz")
    assert found.dtype == bool
    np.testing.assert_array_equal(found, inside)
    loaded = load_field(tmp_path / "a_field.nii.gz")
    np.testing.assert_array_equal(loaded.data, field.data)
    np.testing.assert_array_equal(loaded.affine, field.affine)
    image = nib.load(tmp_path / "a_mask.nii.gz")
    assert (image.get_data_dtype(), image.header.get_sform(coded=True)[1]) == (np.uint8, 4)


def test_a_mask_that_is_missing_or_cut_short_is_refused(tmp_path, phantom):
    path = tmp_path / "mask.nii.gz"
    with pytest.raises(VolumeError, match="no such file"):
        load_mask(path)
    save_mask(path, phantom)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(VolumeError, match="expected a whole NIfTI volume"):
        load_mask(path)
