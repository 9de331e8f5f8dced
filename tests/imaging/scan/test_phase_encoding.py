"""The phase-encode axis as DICOM and BIDS tell it."""

import json
import os

import numpy as np
import pydicom
import pytest

from bmenet.imaging.scan import load_scan
from bmenet.imaging.scan.phase_encoding import axis_in_dicom, axis_in_sidecar

SAGITTAL = {"ImageOrientationPatientDICOM": [0, 1, 0, 0, 0, -1]}


@pytest.mark.parametrize(
    ("told", "axis"),
    [
        ({"PhaseEncodingDirection": "j-"}, 1),
        ({"PhaseEncodingDirection": "k", "InPlanePhaseEncodingDirectionDICOM": "ROW"}, 2),
        ({"PhaseEncodingAxis": "i"}, 0),
        ({"PhaseEncodingDirection": "n/a", "PhaseEncodingAxis": "k"}, 2),
        # Sagittal slices, turned to RAS by the converter: rows lie along the second axis, columns along the third.
        ({"InPlanePhaseEncodingDirectionDICOM": "ROW"} | SAGITTAL, 1),
        ({"InPlanePhaseEncodingDirectionDICOM": "COL", "PhaseEncodingDirection": "i"} | SAGITTAL, 2),
        ({"InPlanePhaseEncodingDirectionDICOM": "COL"}, None),
        ({"InPlanePhaseEncodingDirectionDICOM": "COL", "ImageOrientationPatientDICOM": [0, "x"]}, None),
        ({"EchoTime": 0.003}, None),
    ],
)
def test_a_bids_sidecar_tells_the_axis_of_the_array(write, head, told, axis):
    path = write(head)
    (path.parent / f"{path.name.split('.')[0]}.json").write_text(json.dumps(told))
    scan = load_scan(path)
    assert scan.phase_encode_axis == axis
    assert not any("sidecar" in note for note in scan.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"PhaseEncodingDirection": "JaneDoe"}', "none of i, j and k"),
        (b'{"PhaseEncodingDirection": ["j"]}', "none of i, j and k"),
    ],
)
def test_a_sidecar_that_tells_no_axis_is_said_and_stops_nothing_and_is_not_quoted(tmp_path, content, message):
    (tmp_path / "JaneDoe.json").write_bytes(content)
    axis, (note,) = axis_in_sidecar(tmp_path / "JaneDoe.nii.gz", np.eye(4))
    assert axis is None
    assert message in note
    assert "Jane" not in note


def test_a_pipe_or_a_folder_in_the_sidecars_place_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.nii", "folder.nii"):
        axis, (note,) = axis_in_sidecar(tmp_path / name, np.eye(4))
        assert axis is None
        assert "no file" in note


def test_without_a_sidecar_nothing_is_said(tmp_path):
    assert axis_in_sidecar(tmp_path / "scan.nii", np.eye(4)) == (None, ())


def one(word: str, orientation: list[float]) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    dataset.ImageOrientationPatient = orientation
    dataset.InPlanePhaseEncodingDirection = word
    return dataset


@pytest.mark.parametrize(("word", "axis"), [("ROW", 0), ("COL", 1), ("COLUMN", 1), ("OTHER", None)])
def test_dicom_tells_whether_rows_or_columns_were_encoded(word, axis):
    # Sagittal slices: rows run to the back, columns down; the array's first axis lies along the rows.
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, :3] = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]]).T
    assert axis_in_dicom([one(word, [0, 1, 0, 0, 0, -1])] * 3, affine) == axis
    # A converter that swapped the first two axes of the array is followed.
    swapped = {None: None, 0: 1, 1: 0}[axis]
    assert axis_in_dicom([one(word, [0, 1, 0, 0, 0, -1])] * 3, affine[:, [1, 0, 2, 3]]) == swapped


def test_slices_that_disagree_tell_nothing():
    assert axis_in_dicom([one("ROW", [1, 0, 0, 0, 1, 0]), one("COL", [1, 0, 0, 0, 1, 0])], np.eye(4)) is None
