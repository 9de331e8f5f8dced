"""The phase-encode axis as DICOM and BIDS tell it."""

import json

import numpy as np
import pydicom
import pytest

from bmenet.imaging.scan import load_scan
from bmenet.imaging.scan.phase_encoding import axis_in_dicom, axis_in_sidecar


@pytest.mark.parametrize(
    ("told", "axis"),
    [
        ({"PhaseEncodingDirection": "j-"}, 1),
        ({"PhaseEncodingDirection": "k", "InPlanePhaseEncodingDirectionDICOM": "ROW"}, 2),
        ({"PhaseEncodingAxis": "i"}, 0),
        ({"InPlanePhaseEncodingDirectionDICOM": "COL"}, 1),
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
        ("{", "cannot be read"),
        ("[1]", "no object"),
        (b"\xff\xfe", "cannot be read"),
        ('{"PhaseEncodingDirection": "front"}', "'front', which is no axis"),
        ('{"PhaseEncodingDirection": ["j"]}', "which is no axis"),
    ],
)
def test_a_sidecar_that_tells_no_axis_is_said_and_stops_nothing(tmp_path, content, message):
    (tmp_path / "scan.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    axis, (note,) = axis_in_sidecar(tmp_path / "scan.nii.gz")
    assert axis is None
    assert message in note


def test_without_a_sidecar_nothing_is_said(tmp_path):
    assert axis_in_sidecar(tmp_path / "scan.nii") == (None, ())


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
