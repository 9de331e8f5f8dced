"""Read a scan (NIfTI, FreeSurfer, a DICOM series) or a brain mask; nothing in it is trusted before it is checked."""

import hashlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.imaging.scan.dicom_files import dicom_files, is_dicom
from bmenet.imaging.scan.geometry import read_geometry
from bmenet.imaging.scan.mgh import is_mgh, read_mgh
from bmenet.imaging.scan.nifti import check_shape, read_nifti
from bmenet.imaging.scan.phase_encoding import axis_in_sidecar
from bmenet.imaging.scan.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError
from bmenet.runtime.files import sha256

_NEGATIVE_SHARE = 0.2
_MAX_LABELS = 512
_DARK = 0.1
_PIECEWISE = 0.6
"""Share of neighbours above the darkest tenth that are equal: 0.02 to 0.07 in scans, 0.8 in label maps."""

_DARK_PART, _LEAST_AIR = 0.3, 0.1
_OFFSET_OF_MODE, _LEAST_OFFSET, _EVEN_PART = 0.6, 0.02, 0.5


def load_scan(path: Path | str) -> Scan:
    """Load a scan in its native space; its `notes` tell what had to be assumed.

    Parameters
    ----------
    path : Path or str
        A NIfTI-1 or NIfTI-2 file or a volume of FreeSurfer's, gzip or plain by content, or a folder that holds one
        DICOM series, or a multi-frame file of DICOM.

    Raises
    ------
    VolumeError
        If the path does not hold one readable 3D volume that could be a T1-weighted scan; after little time and
        memory, whatever the header claims.
    """
    path = Path(path)
    try:
        is_series = path.is_dir() or (path.is_file() and is_dicom(path))
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    if is_series:
        from bmenet.imaging.scan.dicom import read_dicom_series

        image = read_dicom_series(path)
        check_shape(image.shape, path)
        scan = _build(path, image.header, np.asanyarray(image.dataobj), notes=image.extra["notes"])
        return replace(scan, phase_encode_axis=image.extra["phase_encode_axis"])
    if is_mgh(path):
        geometry, counts, notes = read_mgh(path)
        return _build(path, geometry, counts, notes=notes)
    header, counts = read_nifti(path)
    scan = _build(path, header.nifti, counts, header.slope, header.intercept, header.notes)
    axis, notes = axis_in_sidecar(path, scan.volume.affine)
    return replace(scan, phase_encode_axis=axis, notes=(*scan.notes, *notes))


def scan_sha256(path: Path | str) -> str:
    """Return the SHA-256 of a scan's file; of a DICOM series, that of its images' sorted SHA-256s: names do not count.

    Raises
    ------
    VolumeError
        If it cannot be read.
    """
    path = Path(path)
    try:
        if not path.is_dir():
            return sha256(path)
        digests = sorted(map(sha256, dicom_files(path)))
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror})") from error
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def load_brain_mask(path: Path | str, grid: Grid) -> np.ndarray:
    """Load the mask of a NIfTI file that is positive inside the brain, shape (X, Y, Z); read as carefully as a scan.

    Raises
    ------
    VolumeError
        If the file is not one readable 3D NIfTI volume.
    GridMismatchError
        If it lies on another grid than `grid`.
    """
    path = Path(path)
    try:
        header, counts = read_nifti(path)
        _, affine, _ = read_geometry(header.nifti, header.shape, path)
    except VolumeError as error:
        raise VolumeError(f"expected a brain mask as NIfTI; {error}") from error
    counts = counts.reshape(header.shape[:3])
    if not Grid(counts.shape, affine).same_as(grid):
        raise GridMismatchError(
            f"{path}: expected the clean scan's grid, shape {grid.shape}; got shape {counts.shape} or another affine"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return counts * header.slope + header.intercept > 0


def _build(
    path: Path,
    nifti: nib.Nifti1Header,
    counts: np.ndarray,
    slope: float = 1.0,
    intercept: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Scan:
    """Scale the counts, check what they show and where they lie."""
    geometry, affine, geometry_notes = read_geometry(nifti, counts.shape, path)
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.ascontiguousarray(counts.reshape(counts.shape[:3]), dtype=np.float32)
        data = data * np.float32(slope) + np.float32(intercept) if (slope, intercept) != (1.0, 0.0) else data
    data, content_notes = _check_content(data, path)
    dtype = counts.dtype.newbyteorder("=")
    notes = (*notes, *geometry_notes, *content_notes)
    if offset := background_offset(data):
        data = data - np.float32(offset)
        notes = (*notes, f"the background lies at {offset:g}: taken as 0, and given back")
    return Scan(Volume(data, affine), counts.shape, geometry, dtype, slope, intercept, offset, notes)


def background_offset(data: np.ndarray) -> float:
    """Return the intensity of a background that is not near 0, as some scanners and tools leave it; else 0.

    Noise alone fills air from 0 upwards: 1 in 20 of its voxels is darker than a third of what is most frequent. Where
    next to nothing is so dark, and most of what is dark is alike, the air has an offset: where its darkest 20th ends.
    """
    some = data[::2, ::2, ::2]
    low, bright = np.percentile(some, (0.1, 99))
    dark = some[some < low + _DARK_PART * (bright - low)]
    if dark.size < _LEAST_AIR * some.size or bright <= low:
        return 0.0
    counts, edges = np.histogram(dark, bins=256)
    mode, darkest = float(edges[np.argmax(counts) + 1]), float(np.percentile(dark, 5))
    is_even = np.mean(dark <= mode + 2 * (mode - darkest)) > _EVEN_PART
    is_high = darkest > _OFFSET_OF_MODE * mode and darkest > _LEAST_OFFSET * (bright - darkest)
    return darkest if is_even and is_high else 0.0


def _check_content(data: np.ndarray, where: object) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the intensities, finite, and notes for the user; refuse what is plainly not a T1-weighted scan.

    That is a constant volume, one with the negative background of a CT or of standardised values, and a label map.
    """
    notes = []
    is_finite = np.isfinite(data)
    if not is_finite.all():
        notes.append(f"{data.size - np.count_nonzero(is_finite)} voxels are NaN or infinite: taken as 0")
        data = np.where(is_finite, data, np.float32(0))
    lowest, highest = float(data.min()), float(data.max())
    if lowest == highest:
        raise VolumeError(f"{where}: expected a scan; got a volume that is {lowest:g} everywhere")
    if lowest < 0:
        low, high = np.percentile(data, (1, 99))
        if low < -_NEGATIVE_SHARE * high or highest <= 0:
            raise VolumeError(
                f"{where}: expected a T1-weighted magnitude image, whose background is near 0; got intensities down to "
                f"{low:g} (1st percentile; 99th: {high:g}): a CT, or standardised values?"
            )
        notes.append(f"intensities go down to {lowest:g}: values below 0 are taken as 0")
    if _is_label_map(data):
        raise VolumeError(f"{where}: expected a T1-weighted scan; got what looks like a label map or a mask")
    return data, tuple(notes)


def _is_label_map(data: np.ndarray) -> bool:
    """Tell a map of regions: few whole numbers, and neighbours mostly share theirs."""
    background = data.min() + _DARK * (data.max() - data.min())
    ahead, behind = data[1:], data[:-1]
    touching = (ahead > background) & (behind > background)
    if not touching.any() or np.mean(ahead[touching] == behind[touching]) < _PIECEWISE:
        return False
    values = np.unique(data)
    return values.size <= _MAX_LABELS and bool((values == np.rint(values)).all())
