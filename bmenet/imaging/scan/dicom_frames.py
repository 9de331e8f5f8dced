"""Multi-frame DICOM, as scanners write it under the name "enhanced": its frames as slices with headers of their own.

Where a frame lies and how it is scaled stands in the frame's own groups, in those that all frames share, or, with some
scanners, outside of any macro. The numbers by which vendors count frames are not used: places alone are trusted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.pixels import iter_pixels
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from bmenet.imaging.scan.nifti import MAX_VOXELS
from bmenet.runtime.errors import VolumeError

_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_PLACE = {
    "position": ("PlanePositionSequence", "ImagePositionPatient", 3),
    "orientation": ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
    "pixel spacing": ("PixelMeasuresSequence", "PixelSpacing", 2),
}
"""What every frame needs: the macro, the attribute in it, and how many numbers it has."""

_KEPT = (
    ("PixelValueTransformationSequence", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept"),
    ("MRFOVGeometrySequence", "InPlanePhaseEncodingDirection"),
)
"""What else goes along where it is told: the macro, and the attribute in it."""

_MAGNITUDE = "magnitude"
_COMPONENTS = {"MAGNITUDE": _MAGNITUDE, "PHASE": "phase", "REAL": "real", "IMAGINARY": "imaginary"}
_TYPES = {"M": _MAGNITUDE, "P": "phase", "R": "real", "I": "imaginary", "PHASE MAP": "phase"} | _COMPONENTS
_GE_TYPE = (0x0043, 0x102F)
_GE_COMPONENTS = dict(enumerate(_COMPONENTS.values()))

_DIFFERENCES = {
    "echo time": ("MREchoSequence", "EffectiveEchoTime", " ms"),
    "inversion time": ("MRModifierSequence", "InversionTimes", " ms"),
    "time point": ("FrameContentSequence", "TemporalPositionIndex", ""),
    "trigger delay": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", " ms"),
    "b-value": ("MRDiffusionSequence", "DiffusionBValue", " s/mm²"),
    "frame type": ("MRImageFrameTypeSequence", "FrameType", ""),
    "stack": ("FrameContentSequence", "StackID", ""),
}
"""By what volumes of one series may be told apart: the macro, the attribute in it, and its unit."""

_MAX_LISTED = 5
_REMEDY = "export the series as single-frame DICOM, or convert it to NIfTI with dcm2niix"


@dataclass(frozen=True)
class _Frame:
    """One frame of a file; `item` holds its own groups."""

    dataset: pydicom.Dataset
    index: int
    item: pydicom.Dataset

    def get(self, macro: str, attribute: str) -> Any:
        """Return what holds for this frame: of its own groups, else of the shared ones, else of the file; or None."""
        for level in self._levels():
            for holder in (*(level.get(macro) or [])[:1], level):
                if (value := holder.get(attribute)) is not None and value != "":
                    return value
        return None

    def _levels(self) -> tuple[pydicom.Dataset, ...]:
        return (self.item, *(self.dataset.get(_GROUPS[1]) or [])[:1], self.dataset)

    def component(self) -> str:
        """Return which part of the complex signal this is; magnitude, unless the headers say otherwise."""
        told = _COMPONENTS.get(str(self.get("MRImageFrameTypeSequence", "ComplexImageComponent")))
        kinds = self.get("MRImageFrameTypeSequence", "FrameType") or self.dataset.get("ImageType")
        words = [str(kind) for kind in _values(kinds)[2:]]
        words += [word.split("_")[0] for word in words if "_" in word]  # Philips writes M_FFE, M_SE and others
        return told or self._ge_component() or next((_TYPES[word] for word in words if word in _TYPES), _MAGNITUDE)

    def _ge_component(self) -> str | None:
        for level in self._levels():
            if _GE_TYPE in level:
                value = level[_GE_TYPE].value
                number = int.from_bytes(value[:2], "little") if isinstance(value, bytes) else value
                return _GE_COMPONENTS.get(number)
        return None


def is_multi_frame(dataset: pydicom.Dataset) -> bool:
    """Tell whether a file may hold several slices."""
    return _frame_count(dataset) > 1 or any(dataset.get(group) for group in _GROUPS)


def _frame_count(dataset: pydicom.Dataset) -> int:
    try:
        return max(int(dataset.get("NumberOfFrames") or 1), 1)
    except (TypeError, ValueError):
        return 1


def split_frames(files: list[pydicom.Dataset], name: str) -> tuple[list[pydicom.Dataset], tuple[str, ...]]:
    """Return the magnitude images of multi-frame files as single slices, and notes for the user.

    Raises
    ------
    VolumeError
        If a frame has no place, there is no magnitude image, there are more voxels than in any head, or several images
        have one place.
    """
    files = list({str(dataset.get("SOPInstanceUID", number)): dataset for number, dataset in enumerate(files)}.values())
    frames = [frame for dataset in files for frame in _frames(dataset, name)]
    frames, notes = _magnitude(frames, name)
    voxels = sum(int(frame.dataset.get("Rows", 0)) * int(frame.dataset.get("Columns", 0)) for frame in frames)
    if voxels > MAX_VOXELS:
        raise VolumeError(f"{name}: expected at most {MAX_VOXELS} voxels; got {voxels} in {len(frames)} frames")
    places = [_place(frame, name) for frame in frames]
    _check_alike(frames, places, name)
    _check_one_volume(frames, places, name)
    pairs = list(zip(frames, places, strict=True))
    slices: list[pydicom.Dataset] = []
    for dataset in files:
        slices += _slices([pair for pair in pairs if pair[0].dataset is dataset])
    return _in_order(slices), (*notes, *_missing(files))


def _frames(dataset: pydicom.Dataset, name: str) -> list[_Frame]:
    told = _frame_count(dataset)
    items = dataset.get(_GROUPS[0]) or ([pydicom.Dataset()] if told == 1 else [])
    if len(items) != told:
        raise VolumeError(f"{name}: expected a description of each of {told} frames; got {len(items)}: {_REMEDY}")
    return [_Frame(dataset, index, item) for index, item in enumerate(items)]


def _magnitude(frames: list[_Frame], name: str) -> tuple[list[_Frame], tuple[str, ...]]:
    """Return the frames of magnitude, and notes on others."""
    components = [frame.component() for frame in frames]
    others = Counter(component for component in components if component != _MAGNITUDE)
    if len(frames) == others.total():
        raise VolumeError(
            f"{name}: expected magnitude images; got {', '.join(others)}: give the series of the magnitude"
        )
    left_out = " and ".join(f"{count} {component} images" for component, count in others.items())
    notes = (f"{left_out} are left out: the magnitude is read",) if others else ()
    return [frame for frame, component in zip(frames, components, strict=True) if component == _MAGNITUDE], notes


def _place(frame: _Frame, name: str) -> dict[str, list[float]]:
    """Return the numbers of each attribute in `_PLACE`, by the attribute."""
    place = {}
    for what, (macro, attribute, count) in _PLACE.items():
        found = frame.get(macro, attribute)
        numbers = [float(value) for value in _values(found)]
        if len(numbers) != count or not np.isfinite(numbers).all():
            told = _frame_count(frame.dataset)
            raise VolumeError(
                f"{name}: expected a position, an orientation and a pixel spacing of every frame; got no {what} of"
                f" frame {frame.index + 1} of {told}: {_REMEDY}"
            )
        place[attribute] = numbers
    return place


def _check_alike(frames: list[_Frame], places: list[dict[str, list[float]]], name: str) -> None:
    """Refuse frames that make no stack, as they are turned against each other or of several sizes."""
    orientations = np.array([place["ImageOrientationPatient"] for place in places])
    if not np.allclose(orientations, orientations[0], rtol=1e-3, atol=1e-3):
        raise VolumeError(f"{name}: expected parallel slices; got several orientations: give the series of one stack")
    sizes = set()
    for frame, place in zip(frames, places, strict=True):
        row, column = place["PixelSpacing"]
        sizes.add(f"{frame.dataset.get('Rows')} x {frame.dataset.get('Columns')} of {row:.4g} x {column:.4g} mm")
    if len(sizes) > 1:
        found = ", ".join(sorted(sizes)[:_MAX_LISTED])
        raise VolumeError(f"{name}: expected slices of one size and pixel spacing; got {found}: give one series alone")


def _check_one_volume(frames: list[_Frame], places: list[dict[str, list[float]]], name: str) -> None:
    """Refuse several images at one place and say how the headers tell them apart."""
    counts = Counter(tuple(np.round(place["ImagePositionPatient"], 2)) for place in places)
    least, most = min(counts.values()), max(counts.values())
    if most == 1:
        return
    found = f"{most} at each of {len(counts)} positions" if least == most else f"{least} to {most}"
    differences = []
    for what, (macro, attribute, unit) in _DIFFERENCES.items():
        values = sorted({_told(frame.get(macro, attribute)) for frame in frames} - {""}, key=_by_number)
        if len(values) > 1:
            more = ", ..." if len(values) > _MAX_LISTED else ""
            differences.append(f"{what} ({', '.join(values[:_MAX_LISTED])}{more}{unit})")
    told = " and ".join(differences) or "nothing in the headers"
    raise VolumeError(
        f"{name}: expected one frame at each position; got {found}, told apart by {told}: write one of the volumes as"
        " NIfTI (dcm2niix) and give that"
    )


def _values(value: Any) -> list[Any]:
    """Return the values of an attribute that may have several, one or none."""
    if isinstance(value, MultiValue | list):
        return list(value)
    return [] if value is None else [value]


def _told(value: Any) -> str:
    return "/".join(f"{one:g}" if isinstance(one, float) else str(one) for one in _values(value))


def _by_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return 0.0, text


def _slices(pairs: list[tuple[_Frame, dict[str, list[float]]]]) -> Iterator[pydicom.Dataset]:
    """Yield the frames of one file as slices; nothing else of its headers goes along."""
    if not pairs:
        return
    source = pairs[0][0].dataset
    images = iter_pixels(source, indices=[frame.index for frame, _ in pairs])
    for (frame, place), image in zip(pairs, images, strict=True):
        bits = 8 * image.dtype.itemsize
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
        one = pydicom.Dataset()
        one.file_meta = meta
        one.Modality = "MR"
        one.ImageType = source.get("ImageType") or ["ORIGINAL", "PRIMARY", "OTHER"]
        one.Rows, one.Columns = image.shape[:2]
        one.SamplesPerPixel, one.PhotometricInterpretation = source.SamplesPerPixel, source.PhotometricInterpretation
        one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
        one.PixelRepresentation = int(image.dtype.kind == "i")
        for attribute, numbers in place.items():
            setattr(one, attribute, numbers)
        for macro, attribute in _KEPT:
            if (value := frame.get(macro, attribute)) is not None:
                setattr(one, attribute, value)
        one.PixelData = image.astype(image.dtype.newbyteorder("<")).tobytes()
        yield one


def _in_order(slices: list[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """Sort and number the slices by place: dicom2nifti takes a number that goes back for the next time point."""
    slices = [slices[index] for index in np.argsort(depths_mm(slices), kind="stable")]
    for number, one in enumerate(slices, 1):
        one.InstanceNumber = number
    return slices


def depths_mm(slices: list[pydicom.Dataset]) -> np.ndarray:
    """Return where parallel slices lie along their normal, (N,)."""
    orientation = np.array(slices[0].ImageOrientationPatient, dtype=float)
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array([np.array(one.ImagePositionPatient, dtype=float) @ normal for one in slices])


def _missing(files: list[pydicom.Dataset]) -> tuple[str, ...]:
    """Return a note if the series was written to more files than there are."""
    told = max(int(dataset.get("InConcatenationTotalNumber") or 0) for dataset in files)
    if told <= len(files):
        return ()
    there = f"{len(files)} are" if len(files) > 1 else "1 is"
    return (f"the headers tell of {told} files; {there} there: the head may be cut off",)
