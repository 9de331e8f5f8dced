"""A DICOM series of magnetic resonance, a folder or a multi-frame file, as NIfTI; patient text stays behind."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from bmenet.imaging.scan.dicom_files import dicom_files
from bmenet.imaging.scan.dicom_frames import depths_mm, is_multi_frame, split_frames
from bmenet.imaging.scan.phase_encoding import axis_in_dicom
from bmenet.runtime.errors import VolumeError

_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")

_REASONS = {
    "TOO_FEW_SLICES/LOCALIZER": "expected at least four parallel slices; got a localizer or a part of a series",
    "NON_CUBICAL_IMAGE/GANTRY_TILT": "expected slices stacked at right angles; got a sheared stack",
    "IMAGE_ORIENTATION_INCONSISTENT": "expected parallel slices; got several orientations",
    "NON_IMAGING_DICOM_FILES": "expected image slices with a position and an orientation; got none",
}
"""What dicom2nifti's codes mean to the person who gave the folder."""

_UNEVEN = "SLICE_INCREMENT_INCONSISTENT"


def read_dicom_series(folder: Path | str) -> nib.Nifti1Image:
    """Convert the one magnetic resonance series that lies in `folder`: 3D, float32, rescaled as it says.

    A multi-frame file may stand for the folder; of several components in it the magnitude is read. The affine (RAS+ mm)
    is the scanner's, in the slices' own orientation, ordered by where they lie. Nothing else of the DICOM headers is
    kept. ``image.extra["notes"]`` tells if the headers say that there were more slices, and what was left out;
    ``image.extra["phase_encode_axis"]`` is the axis of the array along which they say that slices were phase encoded.

    Raises
    ------
    VolumeError
        If there is no DICOM file, more than one series, a modality other than MR, a file that cannot be read, or if the
        slices do not make one evenly spaced 3D stack.
    """
    folder = Path(folder)
    try:
        return _read_series(folder)
    except (VolumeError, MemoryError):
        raise
    except Exception as error:
        # pydicom and dicom2nifti raise many types for damaged values and pixel data and missing tags.
        raise VolumeError(
            f"{folder.name}: expected a readable DICOM series; {type(error).__name__}: {error}"
        ) from error


def _read_series(folder: Path) -> nib.Nifti1Image:
    slices = [_read_slice(path) for path in dicom_files(folder)]
    slices = [dataset for dataset in slices if "PixelData" in dataset]
    if not slices:
        raise VolumeError(f"{folder.name}: expected a folder with a DICOM series; got no DICOM image in it")
    modalities = sorted({str(dataset.get("Modality", "none")) for dataset in slices})
    if modalities != ["MR"]:
        raise VolumeError(f"{folder.name}: expected magnetic resonance (modality MR); got {', '.join(modalities)}")
    single = [dataset for dataset in slices if not is_multi_frame(dataset)]
    if not all(dataset.get(tag) for dataset in single for tag in _PLACE):
        raise VolumeError(f"{folder.name}: expected a position, an orientation and a pixel spacing of every slice")
    series = {str(dataset.get("SeriesInstanceUID")) for dataset in slices}
    if len(series) > 1:
        raise VolumeError(f"{folder.name}: expected one DICOM series; got {len(series)}: put each into its own folder")
    notes = _missing(single)
    if len(single) < len(slices):
        # dicom2nifti goes by the numbers of frames, which some scanners leave out and others count otherwise.
        frames, frame_notes = split_frames([dataset for dataset in slices if is_multi_frame(dataset)], folder.name)
        slices, notes = [*single, *frames], (*notes, *frame_notes)
    image = _convert(slices, folder.name)
    data = np.asarray(image.dataobj, dtype=np.float32)
    if data.ndim != 3:
        raise VolumeError(f"{folder.name}: expected one 3D volume; got a series of shape {data.shape}")
    axis = axis_in_dicom(slices, image.affine)
    clean = nib.Nifti1Image(data, image.affine, extra={"notes": notes, "phase_encode_axis": axis})
    clean.header.set_xyzt_units("mm", "sec")
    clean.set_sform(image.affine, code=1)
    clean.set_qform(image.affine, code=1)
    return clean


def _read_slice(path: Path) -> pydicom.Dataset:
    try:
        return pydicom.dcmread(path, force=True)  # some lack the preamble
    except (OSError, InvalidDicomError, EOFError, ValueError) as error:
        raise VolumeError(f"{path.name}: expected a whole DICOM file; {error}") from error


def _missing(slices: list[pydicom.Dataset]) -> tuple[str, ...]:
    """Return a note if the series had more images than there are."""
    told = max((int(dataset.get("ImagesInAcquisition") or 0) for dataset in slices), default=0)
    if told <= len(slices) or not slices:
        return ()
    return (f"the headers tell of {told} images; {len(slices)} are there: the head may be cut off",)


def _convert(slices: list[pydicom.Dataset], name: str) -> nib.Nifti1Image:
    """Run dicom2nifti on the slices and put its error codes into words."""
    from dicom2nifti.convert_dicom import dicom_array_to_nifti
    from dicom2nifti.exceptions import ConversionError, ConversionValidationError

    logging.getLogger("dicom2nifti").setLevel(logging.CRITICAL)
    try:
        return dicom_array_to_nifti(slices, None, reorient_nifti=False)["NII"]
    except (ConversionError, ConversionValidationError) as error:
        reason = _REASONS.get(str(error), f"expected one evenly spaced 3D stack of slices; dicom2nifti says {error}")
        if str(error) == _UNEVEN:
            reason = _gap(slices)
        raise VolumeError(f"{name}: {reason}") from error


def _gap(slices: list[pydicom.Dataset]) -> str:
    """Say where the steps from slice to slice differ most from the usual one."""
    steps = np.diff(np.sort(depths_mm(slices)))
    usual = float(np.median(steps))
    odd = int(np.argmax(np.abs(steps - usual)))
    return (
        f"expected evenly spaced slices; got a gap of {steps[odd]:.3g} mm after slice {odd + 1} of {len(slices)}, and"
        f" {usual:.3g} mm between most others: some are missing, or the spacing changes; export the whole series again"
    )
