"""A scan in memory: its voxels, where they lie, and how its file stored them; written back on its own grid."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.scan.mgh import mgh_image
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import atomic_path

_FREESURFER = (".mgz", ".mgh")
_SUFFIXES = (".nii", ".nii.gz", *_FREESURFER)

MNI_CODE = 4
"""NIfTI's qform and sform code for coordinates in MNI152 space."""


@dataclass(frozen=True)
class Scan:
    """A 3D scan, kept with all that writing a result on the same grid needs, and nothing that tells whose it is."""

    volume: Volume
    """Finite intensities, slope * count + intercept - offset, as voxels are stored; the affine leads to RAS+ mm."""
    shape: tuple[int, ...]
    """As stored: (X, Y, Z), or (X, Y, Z, 1) for a series of one volume."""
    geometry: nib.Nifti1Header
    """Voxel sizes, qform, sform, their codes and the units; every other field has its default."""
    dtype: np.dtype
    """Of the stored counts, native byte order."""
    slope: float = 1.0
    intercept: float = 0.0
    offset: float = 0.0
    """Of the background, which is near 0 in `volume`; it is given back when the scan is saved."""
    notes: tuple[str, ...] = ()
    """What the reader had to assume, one sentence each, to be shown to the user."""
    phase_encode_axis: int | None = None
    """Of the array: lines were encoded one after the other along it, so that motion spread along it; None if untold."""

    def with_data(self, data: np.ndarray) -> "Scan":
        """Return a scan of other intensities on the same grid."""
        return replace(self, volume=self.volume.with_data(data))

    def in_standard_space(self, volume: Volume) -> "Scan":
        """Return a scan of `volume`, which lies in MNI152 coordinates, stored the way this one is."""
        geometry = nib.Nifti1Header()
        geometry.set_data_shape(volume.data.shape)
        geometry.set_qform(volume.affine, code=MNI_CODE)
        geometry.set_sform(volume.affine, code=MNI_CODE)
        geometry.set_xyzt_units("mm", "sec")
        return replace(self, volume=volume, shape=volume.data.shape, geometry=geometry)


def stem(path: Path) -> str:
    """Return a file's name without the suffixes of a volume."""
    found = next((suffix for suffix in (".nii.gz", *_SUFFIXES) if path.name.endswith(suffix)), "")
    return path.name.removesuffix(found)


def check_output_name(path: Path | str) -> Path:
    """Return the path if its name and its folder allow a volume to be written.

    Raises
    ------
    VolumeError
        If the name ends in none of .nii, .nii.gz, .mgz and .mgh, if the folder does not exist or cannot be written to,
        or a folder has this name.
    OSError
        If the file system cannot have such a name.
    """
    path = Path(path)
    if not path.name.endswith(_SUFFIXES):
        raise VolumeError(f"{path}: expected a name that ends in {' or '.join(_SUFFIXES)}; got {path.name!r}")
    if not path.parent.is_dir():
        raise VolumeError(f"{path}: expected the folder {path.parent} to exist; make it first")
    if path.is_dir():
        raise VolumeError(f"{path}: expected the name of a file; got a folder")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise VolumeError(f"{path}: expected a folder that can be written to; got {path.parent}; choose another OUT")
    return path


def save_scan(path: Path | str, scan: Scan) -> None:
    """Save a scan as its name says, atomically; the same scan gives the same bytes.

    That is NIfTI-1, or FreeSurfer's format, which has neither codes nor slopes.

    The input's shape, voxel sizes, qform, sform, codes and units are kept; free text and extensions never reach the
    file. Integers are stored as the same integer type with the same slope and intercept, rounded, when all
    intensities fit; everything else as float32.

    Raises
    ------
    VolumeError
        If the name is not that of a volume, the folder does not exist, or the disk refuses.
    """
    try:
        path = check_output_name(path)
        image = _freesurfer_image(scan) if path.name.endswith(_FREESURFER) else _nifti_image(scan)
        with atomic_path(path) as temporary:
            nib.save(image, temporary)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be written ({error.strerror or error})") from error


def _nifti_image(scan: Scan) -> nib.Nifti1Image:
    counts, slope, intercept = _encode(scan)
    header = scan.geometry.copy()
    header.set_data_dtype(counts.dtype)
    image = nib.Nifti1Image(counts.reshape(scan.shape), None, header, dtype=counts.dtype)
    image.header.set_slope_inter(slope, intercept)
    return image


def _freesurfer_image(scan: Scan) -> nib.MGHImage:
    counts, slope, intercept = _encode(scan)
    if (slope, intercept) != (1, 0):
        counts = np.asarray(counts * np.float64(slope) + intercept, dtype=np.float32)
    return mgh_image(counts, scan.volume.affine)


def _encode(scan: Scan) -> tuple[np.ndarray, float, float]:
    """Return what is stored, and the slope and intercept that turn it back into intensities."""
    data = scan.volume.data.astype(np.float64) + scan.offset
    if scan.dtype.kind in "iu":
        counts = np.rint((data - scan.intercept) / scan.slope)
        limits = np.iinfo(scan.dtype)
        if limits.min <= counts.min() and counts.max() <= limits.max:
            return counts.astype(scan.dtype), scan.slope, scan.intercept
    return data.astype(np.float32), 1.0, 0.0
