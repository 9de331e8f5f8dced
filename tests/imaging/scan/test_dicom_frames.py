"""Enhanced multi-frame DICOM: all slices in one file or few, described by groups that stand per frame or once."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from bmenet.imaging.scan import load_scan
from bmenet.imaging.scan.dicom import read_dicom_series
from bmenet.runtime.errors import VolumeError

SHAPE = (11, 10, 9)
SPACING = np.array([0.9, 1.1, 1.5])
CORNER = np.array([-40.0, 25.5, -60.0])
ANGLE = np.deg2rad(20)
DIRECTIONS = np.array([[np.cos(ANGLE), 0, -np.sin(ANGLE)], [np.sin(ANGLE), 0, np.cos(ANGLE)], [0, -1, 0]])
"""Columns: the directions (LPS) of increasing column, increasing row, and slice: an oblique coronal stack."""

ORDER = (4, 0, 8, 2, 6, 1, 5, 3, 7)
Change = Callable[[pydicom.Dataset], object]


def truth(slopes: np.ndarray | float = 1, intercepts: np.ndarray | float = 0) -> nib.Nifti1Image:
    """Return what the file holds, as NIfTI: voxels (column, row, slice), RAS+ mm."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = DIRECTIONS * SPACING, CORNER
    return nib.Nifti1Image(counts().astype(float) * slopes + intercepts, np.diag([-1.0, -1, 1, 1]) @ affine)


def counts() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 3000, SHAPE, dtype=np.uint16)


def group(frame: pydicom.Dataset, name: str, **values: object) -> None:
    """Set a macro of one item."""
    item = pydicom.Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    setattr(frame, name, [item])


def place(number: int) -> list[float]:
    return [round(float(value), 6) for value in CORNER + DIRECTIONS[:, 2] * SPACING[2] * number]


def plane(frame: pydicom.Dataset) -> None:
    """Tell of the orientation and of the pixels' size."""
    group(
        frame,
        "PlaneOrientationSequence",
        ImageOrientationPatient=[round(float(value), 8) for value in DIRECTIONS[:, :2].T.flat],
    )
    group(frame, "PixelMeasuresSequence", PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2])


def write(path: Path, order: tuple[int, ...] = ORDER, per_frame: bool = False, change: Change | None = None) -> Path:
    """Write the slices in this order into one file; no dimension, stack or place in one is told."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, EnhancedMRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = EnhancedMRImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.Manufacturer = "MR", "GE MEDICAL SYSTEMS"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.InstanceNumber = "1.2.3", "1.2.4", 1
    dataset.PatientName = dataset.PatientID = dataset.ImageComments = "CANARY"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = SHAPE[1], SHAPE[0], 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.NumberOfFrames = len(order)
    dataset.PixelData = counts()[..., list(order)].T.tobytes()
    shared, frames = pydicom.Dataset(), [pydicom.Dataset() for _ in order]
    for number, frame in zip(order, frames, strict=True):
        group(frame, "PlanePositionSequence", ImagePositionPatient=place(number))
        if per_frame:
            plane(frame)
    if not per_frame:
        plane(shared)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    if change is not None:
        change(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def check(path: Path, expected: nib.Nifti1Image) -> nib.Nifti1Image:
    """Expect every voxel of `expected` at its place in the scanner, and no others."""
    image = read_dicom_series(path)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    where = nib.affines.apply_affine(np.linalg.inv(image.affine) @ expected.affine, index)
    assert np.abs(where - np.rint(where)).max() < 1e-3
    assert image.shape == SHAPE
    found = image.get_fdata()[tuple(np.moveaxis(np.rint(where).astype(int), -1, 0))]
    np.testing.assert_allclose(found, expected.get_fdata(), rtol=1e-6)
    return image


def frames(dataset: pydicom.Dataset) -> pydicom.Sequence:
    return dataset.PerFrameFunctionalGroupsSequence


def with_instack_numbers_that_contradict_the_positions(dataset: pydicom.Dataset) -> None:
    for number, frame in enumerate(frames(dataset), 1):
        group(frame, "FrameContentSequence", StackID="1", InStackPositionNumber=number, TemporalPositionIndex=number)


def with_places_outside_of_macros(dataset: pydicom.Dataset) -> None:
    for number, frame in zip(ORDER, frames(dataset), strict=True):
        del frame.PlanePositionSequence
        frame.ImagePositionPatient = place(number)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    dataset.ImageOrientationPatient = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    dataset.PixelSpacing = shared.PixelMeasuresSequence[0].PixelSpacing
    del dataset.SharedFunctionalGroupsSequence


def with_frame_contents_that_tell_nothing(dataset: pydicom.Dataset) -> None:
    for frame in frames(dataset):
        group(frame, "FrameContentSequence", FrameAcquisitionNumber=1)


@pytest.mark.parametrize("per_frame", [True, False])
@pytest.mark.parametrize("order", [tuple(range(9)), tuple(range(8, -1, -1)), ORDER])
@pytest.mark.parametrize("vendor", ["GE MEDICAL SYSTEMS", "SIEMENS", "Philips Medical Systems", "Acme"])
def test_frames_are_ordered_by_position_wherever_the_geometry_stands(tmp_path, per_frame, order, vendor):
    def name(dataset):
        dataset.Manufacturer = vendor

    check(write(tmp_path / "scan.dcm", order, per_frame, name), truth())


@pytest.mark.parametrize(
    "change",
    [
        with_instack_numbers_that_contradict_the_positions,
        with_places_outside_of_macros,
        with_frame_contents_that_tell_nothing,
        lambda dataset: dataset.compress(RLELossless),
    ],
    ids=["contradicting numbers", "no macros", "no numbers", "compressed"],
)
def test_what_vendors_leave_out_or_number_otherwise_moves_no_slice(tmp_path, change):
    check(write(tmp_path / "scan.dcm", change=change), truth())


def test_the_phase_encode_axis_goes_along_with_the_frames(tmp_path):
    def tell(dataset):
        group(
            dataset.SharedFunctionalGroupsSequence[0], "MRFOVGeometrySequence", InPlanePhaseEncodingDirection="COLUMN"
        )

    scan = load_scan(write(tmp_path / "one.dcm", change=tell))
    wanted, found = truth().affine[:3, 1], scan.volume.affine[:3, scan.phase_encode_axis]
    assert abs(wanted @ found) == pytest.approx(np.linalg.norm(wanted) * np.linalg.norm(found), rel=1e-5)
    assert load_scan(write(tmp_path / "two.dcm")).phase_encode_axis is None


def test_slope_and_intercept_hold_for_their_frame_or_for_all(tmp_path):
    slopes, intercepts = 1 + np.arange(9) / 4, 10.0 * np.arange(9) - 3

    def scale_frames(dataset):
        for number, frame in zip(ORDER, frames(dataset), strict=True):
            group(
                frame,
                "PixelValueTransformationSequence",
                RescaleSlope=float(slopes[number]),
                RescaleIntercept=float(intercepts[number]),
            )

    def scale_all(dataset):
        shared = dataset.SharedFunctionalGroupsSequence[0]
        group(shared, "PixelValueTransformationSequence", RescaleSlope=0.25, RescaleIntercept=-7)

    check(write(tmp_path / "frames.dcm", change=scale_frames), truth(slopes, intercepts))
    check(write(tmp_path / "shared.dcm", change=scale_all), truth(0.25, -7))


def test_signed_counts_keep_their_sign(tmp_path):
    def negate(dataset):
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 16, 15
        dataset.PixelData = (-counts()[..., list(ORDER)].T.astype(np.int16)).tobytes()

    check(write(tmp_path / "scan.dcm", change=negate), truth(-1))


def test_load_scan_takes_the_file_or_its_folder_and_keeps_no_patient_text(tmp_path):
    path = write(tmp_path / "folder" / "scan.dcm")
    for given in (path, path.parent):
        assert load_scan(given).volume.data.max() == counts().max()
    assert b"CANARY" not in read_dicom_series(path).to_bytes()


def mixed(told: Callable[[pydicom.Dataset, str], None]) -> Change:
    """Return a change to magnitude and phase, which stand in turn, told apart by `told`."""

    def change(dataset: pydicom.Dataset) -> None:
        planes = [[counts()[..., number].T, 4095 - counts()[..., number].T] for number in ORDER]
        dataset.PixelData = np.array(planes).tobytes()
        dataset.NumberOfFrames = 2 * len(ORDER)
        items = []
        for number in ORDER:
            for component in ("MAGNITUDE", "PHASE"):
                item = pydicom.Dataset()
                group(item, "PlanePositionSequence", ImagePositionPatient=place(number))
                told(item, component)
                items.append(item)
        dataset.PerFrameFunctionalGroupsSequence = items
        dataset.ComplexImageComponent = "MIXED"

    return change


def tell_component(item: pydicom.Dataset, component: str) -> None:
    group(item, "MRImageFrameTypeSequence", ComplexImageComponent=component)


def tell_frame_type(item: pydicom.Dataset, component: str) -> None:
    kind = {"MAGNITUDE": "M_FFE", "PHASE": "PHASE MAP"}[component]
    group(item, "MRImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", kind, "NONE"])


def tell_ge(item: pydicom.Dataset, component: str) -> None:
    item.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", int(component == "PHASE"))


@pytest.mark.parametrize("told", [tell_component, tell_frame_type, tell_ge])
def test_of_magnitude_and_phase_in_one_file_the_magnitude_is_read_and_the_rest_is_told(tmp_path, told):
    image = check(write(tmp_path / "scan.dcm", change=mixed(told)), truth())
    assert image.extra["notes"] == ("9 phase images are left out: the magnitude is read",)


def test_a_series_of_several_files_is_one_stack_and_a_file_that_is_not_there_is_told(tmp_path):
    def part(dataset):
        dataset.ConcatenationUID, dataset.InConcatenationTotalNumber = "1.2.5", 2

    first = write(tmp_path / "folder" / "1.dcm", ORDER[:5], change=part)
    write(tmp_path / "folder" / "2.dcm", ORDER[5:], change=part)
    assert check(tmp_path / "folder", truth()).extra["notes"] == ()
    first.with_name("copy.dcm").write_bytes(first.read_bytes())
    check(tmp_path / "folder", truth())
    half = write(tmp_path / "half" / "1.dcm", (3, 1, 4, 0, 2), change=part)
    assert read_dicom_series(half).extra["notes"] == (
        "the headers tell of 2 files; 1 is there: the head may be cut off",
    )


def repeated(**macros: dict[str, list]) -> Change:
    """Return a change to several volumes, of which each macro's attribute takes these values."""

    def change(dataset: pydicom.Dataset) -> None:
        times = len(next(iter(next(iter(macros.values())).values())))
        items = []
        for time in range(times):
            for number in ORDER:
                item = pydicom.Dataset()
                group(item, "PlanePositionSequence", ImagePositionPatient=place(number))
                for macro, attributes in macros.items():
                    group(item, macro, **{name: values[time] for name, values in attributes.items()})
                items.append(item)
        dataset.PixelData *= times
        dataset.NumberOfFrames = len(items)
        dataset.PerFrameFunctionalGroupsSequence = items

    return change


def without_position(dataset: pydicom.Dataset) -> None:
    del frames(dataset)[5].PlanePositionSequence


def with_private_groups_only(dataset: pydicom.Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence
    dataset.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", 9)


def with_a_frame_not_described(dataset: pydicom.Dataset) -> None:
    del frames(dataset)[-1]


def with_a_turned_frame(dataset: pydicom.Dataset) -> None:
    for frame in frames(dataset)[:4]:
        group(frame, "PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def with_a_wider_frame(dataset: pydicom.Dataset) -> None:
    group(frames(dataset)[2], "PixelMeasuresSequence", PixelSpacing=[2, 2])


def with_phase_alone(dataset: pydicom.Dataset) -> None:
    for frame in frames(dataset):
        tell_component(frame, "PHASE")


def with_cut_pixels(dataset: pydicom.Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-500]


def with_more_voxels_than_any_head(dataset: pydicom.Dataset) -> None:
    dataset.Rows = dataset.Columns = 40000


@pytest.mark.parametrize(
    ("order", "change", "message"),
    [
        ((0, 1, 2, 3, 5, 6, 7, 8), None, r"a gap of 3 mm after slice 4 of 8, and 1\.5 mm .* export the whole series"),
        ((3, 8, 1, 0, 7, 6), None, r"evenly spaced slices; got a gap of 4\.5 mm after slice 3 of 6"),
        (
            ORDER,
            repeated(MREchoSequence={"EffectiveEchoTime": [2.3, 4.7, 7.1]}),
            r"got 3 at each of 9 positions, told apart by echo time \(2\.3, 4\.7, 7\.1 ms\): write one .* as NIfTI",
        ),
        (
            ORDER,
            repeated(
                FrameContentSequence={"TemporalPositionIndex": [1, 2]},
                MRDiffusionSequence={"DiffusionBValue": [0, 1000]},
            ),
            r"got 2 at each of 9 positions, told apart by time point \(1, 2\) and b-value \(0, 1000 s/mm²\)",
        ),
        (
            ORDER,
            repeated(MRImageFrameTypeSequence={"FrameType": [["O", "P", "M", "WATER"], ["O", "P", "M", "FAT"]]}),
            r"told apart by frame type \(O/P/M/FAT, O/P/M/WATER\)",
        ),
        (ORDER, repeated(FrameContentSequence={"StackID": ["1", "1"]}), "told apart by nothing in the headers"),
        ((*ORDER, 4), None, r"expected one frame at each position; got 1 to 2, told apart by nothing"),
        (ORDER, without_position, r"spacing of every frame; got no position of frame 6 of 9"),
        (ORDER, with_private_groups_only, r"expected a description of each of 9 frames; got 0: export .* dcm2niix"),
        (ORDER, with_a_frame_not_described, r"expected a description of each of 9 frames; got 8"),
        (ORDER, with_a_turned_frame, "got several orientations"),
        (ORDER, with_a_wider_frame, r"one size and pixel spacing; got 10 x 11 of 1\.1 x 0\.9 mm, 10 x 11 of 2 x 2 mm"),
        (ORDER, with_phase_alone, "expected magnitude images; got phase"),
        (ORDER, with_cut_pixels, "expected a readable DICOM series; "),
        (ORDER, with_more_voxels_than_any_head, "expected at most 134217728 voxels"),
        ((4,), None, "at least four parallel slices"),
    ],
)
def test_what_is_not_one_volume_is_refused_with_what_was_found(tmp_path, order, change, message):
    path = write(tmp_path / "scan.dcm", order, change=change)
    with pytest.raises(VolumeError, match=rf"scan\.dcm: .*{message}") as caught:
        read_dicom_series(path)
    assert "CANARY" not in str(caught.value)


def test_a_damaged_value_ends_in_a_reason(tmp_path):
    path = write(tmp_path / "scan.dcm")
    number_of_frames = b"\x28\x00\x08\x00"
    whole = path.read_bytes()
    assert whole.count(number_of_frames + b"IS") == 1
    path.write_bytes(whole.replace(number_of_frames + b"IS", number_of_frames + b"FD"))
    with pytest.raises(VolumeError, match=r"scan\.dcm: expected a readable DICOM series; BytesLengthException"):
        read_dicom_series(path)
