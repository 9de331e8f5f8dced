"""Canaries in the tags of a DICOM series, in sidecars and in names: `bmenet enhance` neither writes nor says any."""

import gzip
import json

import pytest

from tests.cli.test_enhance import embedded_volumes
from tests.imaging.scan.test_dicom import write_series

CANARIES = (b"CANARY", b"JaneDoe19", b"19700101")


@pytest.mark.usefixtures("lone_brain", "weights")
def test_nothing_of_a_dicom_series_or_a_sidecar_reaches_any_output(bmenet, workspace):
    scan, out = workspace / "JaneDoe19_dicom", workspace / "out.nii.gz"
    write_series(scan)
    assert all(b"CANARY" in path.read_bytes() for path in scan.iterdir())
    for sidecar in (scan / "series.json", workspace / "JaneDoe19_dicom.json"):
        sidecar.write_text(json.dumps({"PatientName": "CANARY", "format": 1, "enhanced": {"name": "CANARY"}}))
    result = bmenet("enhance", scan, out, "--report")
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    page = out.with_name("out.html").read_text(encoding="utf-8")
    volumes = embedded_volumes(page)
    assert len(volumes) >= 2
    told = [result.stderr.encode(), page.encode(), out.with_name("out.json").read_bytes(), *volumes]
    told += [gzip.decompress(volume) for volume in volumes if volume[:2] == b"\x1f\x8b"]
    told += [out.read_bytes(), gzip.decompress(out.read_bytes())]
    for content in told:
        assert not [canary for canary in CANARIES if canary in content]
