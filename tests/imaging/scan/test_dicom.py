from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from bmenet.imaging.scan import load_scan, scan_sha256
from bmenet.imaging.scan.dicom import read_dicom_series
from bmenet.runtime.errors import VolumeError

LPS_FROM_RAS = np.diag([-1.0, -1, 1, 1])
ANGLE = np.deg2rad(20)
OBLIQUE = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])
PLANES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": OBLIQUE @ np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
"""Columns: the directions (LPS) of increasing column, increasing row, and slice."""


def write_series(folder: Path, plane: str = "axial", slices: int = 9, **tags: object) -> tuple[np.ndarray, np.ndarray]:
    """Write slices in a shuffled order; return the voxels (column, row, slice) and their affine, RAS+ mm."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    counts = random.integers(0, 3000, (11, 10, slices), dtype=np.uint16)
    directions, spacing, corner = PLANES[plane], np.array([0.9, 1.1, 1.5]), np.array([-40.0, 25.5, -60.0])
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = directions * spacing, corner
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for file_number, number in enumerate(random.permutation(slices)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset = pydicom.Dataset()
        dataset.file_meta = meta
        dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.Modality, dataset.Manufacturer = "MR", "Acme"
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = series, study, frame
        dataset.InstanceNumber = int(number) + 1
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "CANARY^JOHN", "CANARY-1", "19700101"
        dataset.ImageComments = dataset.SeriesDescription = dataset.StudyDescription = "CANARY"
        private = dataset.private_block(0x0029, "CANARY", create=True)
        private.add_new(0x10, "LO", "CANARY")
        dataset.ImageOrientationPatient = [*directions[:, 0], *directions[:, 1]]
        dataset.ImagePositionPatient = list(corner + directions[:, 2] * spacing[2] * number)
        dataset.PixelSpacing, dataset.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 10, 11, 1
        dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -5
        dataset.PixelData = np.ascontiguousarray(counts[..., number].T).tobytes()
        for name, value in tags.items():
            setattr(dataset, name, value(number) if callable(value) else value)
        dataset.save_as(folder / f"{file_number:03d}", enforce_file_format=True)
    return counts * 2.0 - 5, LPS_FROM_RAS @ lps


@pytest.mark.parametrize("plane", PLANES)
def test_read_dicom_series_puts_every_voxel_where_it_was(tmp_path, plane):
    data, affine = write_series(tmp_path, plane)
    image = read_dicom_series(tmp_path)
    values = image.get_fdata()
    index = np.array([[0, 0, 0], [10, 9, 8], [3, 7, 1], [8, 2, 6]])
    where = nib.affines.apply_affine(np.linalg.inv(image.affine) @ affine, index)
    assert np.allclose(where, np.rint(where), atol=1e-3)
    found = [values[tuple(voxel)] for voxel in np.rint(where).astype(int)]
    assert found == [data[tuple(voxel)] for voxel in index]
    assert sorted(image.header.get_zooms()) == pytest.approx([0.9, 1.1, 1.5], rel=1e-5)


@pytest.mark.parametrize(("word", "place"), [("ROW", 0), ("COL", 1), (None, None)])
@pytest.mark.parametrize("plane", PLANES)
def test_load_scan_knows_along_which_axis_of_the_head_a_series_was_encoded(tmp_path, plane, word, place):
    _, affine = write_series(tmp_path, plane, **({} if word is None else {"InPlanePhaseEncodingDirection": word}))
    scan = load_scan(tmp_path)
    if place is None:
        assert scan.phase_encode_axis is None
    else:
        wanted, found = affine[:3, place], scan.volume.affine[:3, scan.phase_encode_axis]
        assert abs(wanted @ found) == pytest.approx(np.linalg.norm(wanted) * np.linalg.norm(found), rel=1e-5)


def test_load_scan_reads_a_series_beside_other_files_and_keeps_no_patient_text(tmp_path, caplog, capfd):
    data, _ = write_series(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "deeper").mkdir()
    assert load_scan(tmp_path).volume.data.max() == data.max()
    image = read_dicom_series(tmp_path)
    assert b"CANARY" not in image.to_bytes()
    assert "CANARY" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"Modality": "CT"}, r"expected magnetic resonance \(modality MR\); got CT"),
        ({"SeriesInstanceUID": lambda number: f"1.2.{number % 2}"}, "expected one DICOM series; got 2"),
        ({"slices": 3}, "at least four parallel slices"),
        ({"ImagePositionPatient": lambda number: [0, 0, 2 * number + (number > 5)]}, "evenly spaced slices"),
        ({"ImagePositionPatient": lambda number: [0, number, 2 * number]}, "sheared stack"),
        ({"ImageOrientationPatient": None}, "position, an orientation and a pixel spacing of every slice"),
    ],
)
def test_read_dicom_series_refuses_what_is_not_one_volume(tmp_path, tags, message):
    write_series(tmp_path, **tags)
    with pytest.raises(VolumeError, match=message):
        read_dicom_series(tmp_path)


def test_read_dicom_series_refuses_cut_pixels_without_telling_names(tmp_path):
    write_series(tmp_path)
    path = tmp_path / "004"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(VolumeError, match=r"expected a (readable|whole) DICOM") as caught:
        read_dicom_series(tmp_path)
    assert "CANARY" not in str(caught.value)


def test_a_file_is_dicom_by_its_content_and_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "fake.dcm").write_text("DICM")
    with pytest.raises(VolumeError, match="got no DICOM image in it"):
        read_dicom_series(tmp_path)


def test_a_series_one_folder_down_is_found_and_of_several_none_is_guessed(tmp_path):
    data, _ = write_series(tmp_path / "series")
    assert load_scan(tmp_path).volume.data.max() == data.max()
    assert scan_sha256(tmp_path) == scan_sha256(tmp_path / "series")
    write_series(tmp_path / "other")
    with pytest.raises(VolumeError, match=r"got 2 in folders of their own \(other, series\): name one of them"):
        load_scan(tmp_path)


def test_files_without_a_preamble_are_read(tmp_path):
    data, _ = write_series(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert load_scan(tmp_path).volume.data.max() == data.max()


def test_slices_that_the_headers_tell_of_and_are_not_there_are_told(tmp_path):
    write_series(tmp_path / "whole", ImagesInAcquisition=9)
    assert "headers" not in " ".join(load_scan(tmp_path / "whole").notes)
    write_series(tmp_path / "cut", ImagesInAcquisition=14)
    assert "the headers tell of 14 images; 9 are there" in " ".join(load_scan(tmp_path / "cut").notes)
