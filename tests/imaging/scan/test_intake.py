"""What scanners and tools leave in a file: undefined codes, a background that is not 0, what no T1 scan has."""

import builtins
import os

import nibabel as nib
import numpy as np
import pytest

from bmenet.imaging.scan import load_scan, save_scan
from bmenet.runtime.errors import VolumeError


def test_a_qform_code_and_an_intent_that_nobody_defined_do_not_cost_the_scan(write, head, tmp_path):
    scan = load_scan(write(qform_code=99, sform_code=0, intent_code=31000))
    assert [note.split(":")[0] for note in scan.notes] == ["qform_code 99 is not defined"]
    np.testing.assert_array_equal(scan.volume.data, head)
    save_scan(tmp_path / "out.nii", scan)
    header = nib.load(tmp_path / "out.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"]), int(header["intent_code"])) == (2, 2, 0)


def test_a_file_that_may_not_be_read_is_refused_for_whoever_asks(write, monkeypatch):
    path, real = write(), builtins.open

    def guarded(file, *arguments, **options):
        if str(file) == str(path):  # root may read everything, so a mode of 0 would not do
            raise PermissionError(13, "Permission denied", str(path))
        return real(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", guarded)
    with pytest.raises(VolumeError, match=r"scan\.nii: cannot be read \(Permission denied\)"):
        load_scan(path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(("offset", "dtype"), [(200, "int16"), (500, "int16"), (32768, "uint16"), (32768, "int32")])
@pytest.mark.parametrize("sigma", [0, 15])
def test_an_offset_is_taken_out_and_given_back(write, head, generator, tmp_path, offset, dtype, sigma):
    noise = sigma * generator.standard_normal((2, *head.shape))
    counts = (np.hypot(head + noise[0], noise[1]) + offset).astype(dtype)
    scan = load_scan(write(counts))
    assert scan.offset == pytest.approx(offset, abs=max(sigma, 1))
    assert "taken as 0, and given back" in " ".join(scan.notes)
    save_scan(tmp_path / "out.nii", scan)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").dataobj, counts)


def test_a_head_that_wraps_round_has_no_offset(write, head):
    """The field of view is too small along y: what leaves it on one side comes in on the other."""
    wrapped = (head + 0.8 * np.roll(head, head.shape[1] // 2, axis=1)).astype(np.int16)
    scan = load_scan(write(wrapped))
    assert (scan.offset, scan.notes) == (0, ())
    np.testing.assert_array_equal(scan.volume.data, wrapped)


def test_counts_above_32767_that_were_stored_as_negative_are_refused(write, head):
    wrapped = (40.0 * head + 32768).astype(np.uint16).view(np.int16)
    with pytest.raises(VolumeError, match="magnitude image"):
        load_scan(write(wrapped))


def test_salt_and_pepper_in_the_air_is_no_offset_and_stays_as_it_is(write, head, generator, tmp_path):
    """Air of MP2RAGE's uniform image: a ratio of two noises, of every value that tissue has."""
    uniform = np.where(head > 0, head + 1000, generator.integers(0, 4095, head.shape)).astype(np.int16)
    scan = load_scan(write(uniform))
    assert (scan.offset, scan.notes) == (0, ())
    save_scan(tmp_path / "out.nii", scan)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").dataobj, uniform)
