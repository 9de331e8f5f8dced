"""Behind the server: what is checked before anything is unpacked, and what is left afterwards."""

import base64
import gzip
import time
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from bmenet.runtime.errors import RegistrationError, VolumeError
from bmenet.serving import Cancel, Refusal, Request, Service, Settings, service
from tests.serving.stand_in import INFO, EnhancerStandIn, nifti


@pytest.fixture
def make():
    """Return a function that makes a service."""
    return lambda settings=None, **changes: Service(EnhancerStandIn(**changes), settings or Settings(), INFO)


def _run(service, nifti, limit_s=None, **columns):
    return service.run([Request(nifti=base64.b64encode(nifti), **columns)], Cancel(limit_s))


def _header(shape, dtype="int16"):
    """Return the header of a volume of any size."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return header.binaryblock + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("settings", "unpacked", "peak_bytes", "status", "word"),
    [
        (Settings(max_voxels=1000), _header((40, 40, 40)), 2_000_000, 413, "at most 1000 voxels"),
        (Settings(max_decompressed_mb=2), _header((100, 100, 100), "float64"), 2_000_000, 413, "at most 2 MB"),
        (Settings(), _header((500, 500, 500)), 2_000_000, 422, "the volume: truncated"),
        (Settings(), nifti(np.ones((40, 56, 40), np.int16), "scan.nii"), 20_000_000, 422, "to end with its voxels"),
    ],
    ids=["voxels", "bytes", "header alone", "bomb behind a volume"],
)
def test_what_unpacks_to_too_much_is_refused_before_it_is(make, settings, unpacked, peak_bytes, status, word):
    bomb = unpacked if word.endswith("truncated") else gzip.compress(unpacked + bytes(100_000_000), 1)
    tracemalloc.start()
    with pytest.raises(Refusal, match=word) as refusal:
        _run(make(settings), bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.status == status
    assert peak < peak_bytes


@pytest.mark.parametrize("error", [VolumeError("no brain"), RegistrationError("not aligned")])
def test_a_scan_that_cannot_be_enhanced_is_the_clients(make, scan, error):
    with pytest.raises(Refusal, match=str(error)) as refusal:
        _run(make(error=error), scan)
    assert refusal.value.status == 422


def test_no_message_tells_where_the_server_keeps_volumes(make, scan, temporary):
    for bad in (b"", b"x" * 999, scan[:999], _header((40, 40, 40, 2))):
        with pytest.raises(Refusal) as refusal:
            _run(make(), bad)
        assert str(refusal.value).startswith("the volume: ")
        assert str(temporary) not in str(refusal.value)


def test_a_model_without_the_second_stage_says_so_and_takes_plain_volumes_as_packed_ones(make, scan):
    coarse = make(fine=None)
    assert coarse.info["stages"] == ["coarse"]
    assert _run(coarse, scan)[0] == _run(make(), gzip.decompress(scan))[0]
    with pytest.raises(Refusal, match="expected stage coarse"):
        _run(coarse, scan, stage="fine")


def test_a_client_keeps_the_field_or_all_but_the_brain(make, scan):
    wanted = ({}, {"keep_field": True}, {"only_brain": True})
    plain, kept, brain = (
        nib.Nifti1Image.from_bytes(gzip.decompress(_run(make(), scan, **columns)[0][0])).get_fdata()
        for columns in wanted
    )
    np.testing.assert_allclose(kept, 2 * plain, atol=1)
    assert np.abs(brain - plain).max() > 100
    np.testing.assert_array_equal(brain[20], kept[20])
    np.testing.assert_array_equal(np.delete(brain, 20, axis=0), np.delete(plain, 20, axis=0))


def test_a_full_disk_is_the_servers_fault(make, scan, monkeypatch):
    def full(path, scan):
        raise VolumeError("cannot be written") from OSError(28, "No space left on device")

    monkeypatch.setattr(service, "save_scan", full)
    with pytest.raises(Refusal, match="No space left on device") as refusal:
        _run(make(), scan)
    assert refusal.value.status == 503


def test_a_bad_volume_is_told_while_another_job_runs_and_a_good_one_waits_on_one_gpu_by_any_name(make, scan):
    running = make(place="tensorrt")
    with running.jobs.turn(Cancel()):
        with pytest.raises(Refusal, match="within"):
            _run(make(place="cuda"), scan, limit_s=0.3)
        start = time.monotonic()
        with pytest.raises(Refusal, match="expected a NIfTI"):
            _run(running, b"no scan" * 99)
        assert time.monotonic() - start < 1
    assert _run(running, scan)[1]["queue"] >= 0
