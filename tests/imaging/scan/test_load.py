"""Files that nobody vouches for: each ends in a clear error or in the right voxels, in little time and memory."""

import gzip
import os
import struct
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_brain_mask, load_scan, save_scan, scan_sha256
from bmenet.runtime.errors import GridMismatchError, VolumeError
from bmenet.runtime.files import sha256


def _set(index: int | None = None, **fields: object):
    """Return a damage: header fields by name, or one entry of a field."""

    def change(block: bytes) -> bytes:
        header = nib.Nifti1Header(block[:348], check=False)
        for field, value in fields.items():
            if index is None:
                header[field] = value
            else:
                header[field][index] = value
        return header.binaryblock + block[348:]

    return change


def _flipped(position: float):
    """Return a damage: the file packed, with the bits of a byte turned over."""

    def change(block: bytes) -> bytes:
        packed = bytearray(gzip.compress(block))
        packed[int(position if position < 0 else position * len(packed))] ^= 0xFF
        return bytes(packed)

    return change


def _bomb(block):
    """Return a small gzip file that goes on for 300 MB after its voxels."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    return packer.compress(block) + b"".join(packer.compress(zeros) for _ in range(300)) + packer.flush()


def _claim(*shape):
    """Return a header that asks for more voxels than the file could hold."""
    return lambda block: _set(slice(1, 4), dim=shape)(block)[:377]


BAD = {
    "empty file": (lambda block: b"", "got an empty file"),
    "only a few bytes": (lambda block: block[:100], "truncated"),
    "text": (lambda block: b"not an image, only words that go on for a while" * 20, "expected a NIfTI volume"),
    "header only": (lambda block: block[:352], "truncated"),
    "last byte missing": (lambda block: block[:-1], "truncated"),
    "gzip cut in its header": (lambda block: gzip.compress(block)[:5], "broken gzip|truncated"),
    "gzip cut in the NIfTI header": (lambda block: gzip.compress(block)[:60], "broken gzip|truncated"),
    "gzip cut in the voxels": (lambda block: gzip.compress(block)[:5000], "broken gzip|truncated"),
    "gzip cut before its checksum": (lambda block: gzip.compress(block)[:-8], "broken gzip"),
    "gzip with a wrong CRC": (_flipped(-8), "broken gzip.*CRC"),
    "gzip with a flipped byte": (_flipped(0.5), "broken gzip"),
    "gzip bomb behind the voxels": (_bomb, "bytes after them"),
    "18 GB asked for in 377 bytes": (_claim(2048, 2048, 2048), "at most 134217728 voxels"),
    "256 MB asked for in 377 bytes": (_claim(512, 512, 512), "truncated"),
    "256 MB asked for in packed 377 bytes": (lambda block: gzip.compress(_claim(512, 512, 512)(block)), "truncated"),
    "dim[0] is 0": (_set(0, dim=0), "expected 3 dimensions"),
    "dim[0] is 8": (_set(0, dim=8), "expected 3 dimensions"),
    "dim[0] is negative": (_set(0, dim=-3), "expected 3 dimensions"),
    "a negative extent": (_set(1, dim=-40), "at least 8 voxels"),
    "a zero extent": (_set(3, dim=0), "at least 8 voxels"),
    "a slab": (_set(3, dim=3), "at least 8 voxels"),
    "2D": (_set(0, dim=2), "2D image"),
    "2D as one slice": (_set(3, dim=1), "2D image"),
    "bad magic": (_set(magic=b"xyz"), "magic"),
    "half of a pair": (_set(magic=b"ni1"), "convert pairs"),
    "vox_offset too small": (_set(vox_offset=100), "vox_offset .*got 100"),
    "vox_offset NaN": (_set(vox_offset=np.nan), "vox_offset .*got nan"),
    "vox_offset huge": (_set(vox_offset=1e12), "vox_offset"),
    "complex": (_set(datatype=32), "real numbers; got complex64"),
    "RGB": (_set(datatype=128), "real numbers; got RGB"),
    "unknown datatype": (_set(datatype=77), "real numbers; got unknown"),
    "quadruple precision": (_set(datatype=1536), "real numbers; got float128"),
    "voxels of 50 mm": (_set(srow_x=(50, 0, 0, 0)), "0.1 to 10 mm wide"),
    "a matrix of NaN": (_set(srow_x=np.nan, qform_code=0), "can be inverted"),
}


@pytest.mark.parametrize("case", BAD)
def test_load_scan_refuses_a_bad_file_with_a_reason(write, case):
    damage, reason = BAD[case]
    path = write()
    path.write_bytes(damage(path.read_bytes()))
    tracemalloc.start()
    with pytest.raises(VolumeError, match=reason) as caught:
        load_scan(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert os.listdir(path.parent) == [path.name]


DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_load_scan_reads_every_real_type_of_either_byte_order(tmp_path, head, phantom, dtype, order):
    data = (head // 8).astype(dtype)
    image = nib.Nifti1Image(data, phantom.affine, nib.Nifti1Header(endianness=order), dtype=dtype)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = load_scan(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(scan.volume.data, data)
    assert scan.dtype == np.dtype(dtype)
    assert scan.volume.data.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "packed"), [("a.nii", True), ("a.nii.gz", False), ("a scän µ.nii", False), ("scan", True)]
)
def test_load_scan_goes_by_content_not_by_name(write, head, name, packed):
    path = write()
    named = path.with_name(name)
    named.write_bytes(gzip.compress(path.read_bytes()) if packed else path.read_bytes())
    np.testing.assert_array_equal(load_scan(named).volume.data, head)


def test_load_scan_reads_nifti2(tmp_path, head, phantom):
    nib.save(nib.Nifti2Image(head, phantom.affine), tmp_path / "scan.nii")
    scan = load_scan(tmp_path / "scan.nii")
    np.testing.assert_array_equal(scan.volume.data, head)
    np.testing.assert_allclose(scan.volume.affine, phantom.affine)


@pytest.mark.parametrize("size", [0, 7, -16, 2**31 - 1])
def test_load_scan_does_not_believe_the_size_of_an_extension(write, head, size):
    path = write()
    block = path.read_bytes()
    extension = struct.pack("<ii", size, 6) + bytes(8)
    header = _set(vox_offset=368)(block[:348])
    path.write_bytes(header + b"\1\0\0\0" + extension + block[352:])
    np.testing.assert_array_equal(load_scan(path).volume.data, head)


@pytest.mark.parametrize("slope", [0, np.nan, np.inf, -np.inf])
def test_load_scan_takes_a_slope_that_says_nothing_as_one(write, head, slope):
    scan = load_scan(write(scl_slope=slope, scl_inter=5))
    np.testing.assert_array_equal(scan.volume.data, head)
    assert any("slope" in note for note in scan.notes)
    np.testing.assert_allclose(load_scan(write(scl_slope=0.5, scl_inter=3)).volume.data, 0.5 * head + 3)


def test_a_series_of_one_volume_keeps_its_shape_and_of_more_is_refused(write, head, tmp_path):
    scan = load_scan(write(head[..., None]))
    save_scan(tmp_path / "out.nii", scan)
    assert nib.load(tmp_path / "out.nii").shape == (*head.shape, 1)
    assert scan.volume.data.shape == head.shape
    assert scan.shape == (*head.shape, 1)
    with pytest.raises(VolumeError, match="choose one volume"):
        load_scan(write(np.stack([head, head], axis=-1)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_load_scan_takes_voxels_that_are_no_numbers_as_zero_and_keeps_a_few_negative_ones(write, head, value):
    data = head.astype(np.float64)
    data[5:8] = value
    scan = load_scan(write(data))
    assert (scan.volume.data[5:8] == 0).all()
    np.testing.assert_array_equal(scan.volume.data[8:], data[8:])
    assert any("NaN or infinite" in note for note in scan.notes)
    data[5:8] = -3
    data[5:8, 5:] = 0
    scan = load_scan(write(data))
    assert scan.volume.data.min() == -3
    assert any("below 0" in note for note in scan.notes)


NOT_A_SCAN = {
    "all zero": (lambda head: np.zeros_like(head), "0 everywhere"),
    "constant": (lambda head: np.full_like(head, 7), "7 everywhere"),
    "all NaN": (lambda head: np.full(head.shape, np.nan, np.float32), "0 everywhere"),
    "a CT": (lambda head: np.where(head > 0, head // 20, -1000).astype(np.int16), "a CT"),
    "standardised": (lambda head: ((head - head.mean()) / head.std()).astype(np.float32), "standardised"),
    "all negative": (lambda head: (-1 - head).astype(np.int16), "magnitude"),
    "a brain mask": (lambda head: (head > 0).astype(np.uint8), "label map or a mask"),
    "a label map": (lambda head: np.digitize(head, [1, 300, 600]).astype(np.float32) * 41, "label map or a mask"),
}


@pytest.mark.parametrize("case", NOT_A_SCAN)
def test_load_scan_refuses_what_is_not_a_t1_weighted_scan(write, head, case):
    make, reason = NOT_A_SCAN[case]
    with pytest.raises(VolumeError, match=reason):
        load_scan(write(make(head)))


@pytest.mark.parametrize(("sigma", "offset", "dtype"), [(0, 500, "int16"), (40, 400, "int16"), (40, 32768, "uint16")])
def test_a_background_that_is_not_near_zero_is_worked_above_and_given_back(
    write, head, generator, tmp_path, sigma, offset, dtype
):
    noise = sigma * generator.standard_normal((2, *head.shape))
    noisy = np.hypot(head + noise[0], noise[1])
    scan = load_scan(write((noisy + offset).astype(dtype)))
    assert scan.offset == pytest.approx(offset, abs=0.5 * sigma)
    assert "the background lies at" in " ".join(scan.notes)
    np.testing.assert_allclose(scan.volume.data, noisy, atol=0.5 * sigma + 1)
    save_scan(tmp_path / "out.nii", scan)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").dataobj, (noisy + offset).astype(dtype))


@pytest.mark.parametrize("sigma", [0, 20, 100])
def test_noise_is_no_offset(write, head, generator, sigma):
    noise = sigma * generator.standard_normal((2, *head.shape))
    scan = load_scan(write(np.hypot(head + noise[0], noise[1]).astype(np.int16)))
    assert (scan.offset, scan.notes) == (0, ())


def test_load_scan_refuses_what_is_not_a_file_or_may_not_be_read(write, tmp_path):
    places = [tmp_path / f"{name}.nii" for name in ("none", "loop", "pipe", "scan")]
    places[1].symlink_to(places[1])
    os.mkfifo(places[2])
    write().chmod(0)
    reasons = ("No such file", "symbolic links", "a pipe", "Permission denied")
    for path, reason in zip(places[: None if os.geteuid() else 3], reasons, strict=False):  # root may read everything
        with pytest.raises(VolumeError, match=reason):
            load_scan(path)


@pytest.mark.parametrize(("name", "dtype"), [("mask.nii", "uint8"), ("mask.nii.gz", ">i2"), ("mask.nii", "float32")])
def test_load_brain_mask_is_true_where_the_file_is_positive(write, head, phantom, dtype, name):
    values = (head > 300).astype(dtype)
    path = write(values, name=name)
    np.testing.assert_array_equal(load_brain_mask(path, phantom.grid), head > 300)


BAD_MASKS = {
    "unknown voxel type": ({"datatype": 999}, "real numbers; got unknown"),
    "nine dimensions": ({"dim": [9, 40, 56, 40, 1, 1, 1, 1]}, r"dim\[0\]\); got 9"),
    "32 GB asked for": ({"dim": [3, 2048, 2048, 2048, 1, 1, 1, 1], "datatype": 16, "bitpix": 32}, "at most 134217728"),
    "another format": (None, ""),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_load_brain_mask_refuses_what_is_none(write, tmp_path, head, phantom, case):
    fields, reason = BAD_MASKS[case]
    mask = (head > 300).astype(np.uint8)
    path = write(mask, **fields or {})
    if fields is None:
        nib.save(nib.MGHImage(mask, phantom.affine), path := tmp_path / "mask.mgz")
    tracemalloc.start()
    with pytest.raises(VolumeError, match=f"expected a brain mask as NIfTI; .*{reason}"):
        load_brain_mask(path, phantom.grid)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_load_brain_mask_refuses_another_grid(write, head, phantom):
    shifted = phantom.affine.copy()
    shifted[0, 3] += 4
    with pytest.raises(GridMismatchError, match="expected the clean scan's grid"):
        load_brain_mask(write((head > 300).astype(np.uint8), shifted), phantom.grid)


def test_checksum_is_that_of_the_bytes_or_of_the_images_of_a_series_whatever_their_names(tmp_path):
    def series(name, images):
        folder = tmp_path / name
        folder.mkdir()
        for file, content in images.items():
            (folder / file).write_bytes(content)
        return scan_sha256(folder)

    one, two = (bytes(128) + b"DICM" + end for end in (b"1", b"2"))
    first = series("a", {"1.dcm": one, "2.dcm": two})
    assert series("b", {"x": two, "y": one, "notes.txt": b"mine"}) == first
    assert series("c", {"1.dcm": one}) != first
    assert scan_sha256(tmp_path / "a" / "1.dcm") == sha256(tmp_path / "a" / "1.dcm")
    with pytest.raises(VolumeError, match="cannot be read"):
        scan_sha256(tmp_path / "none.nii")
