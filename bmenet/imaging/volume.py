"""A volume in memory, and the project's own compact NIfTI form on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.runtime.errors import GridMismatchError, VolumeError
from bmenet.runtime.files import atomic_path

UNIT_STEP = 1 / 16384
"""Intensity of one stored count: uint16 then spans [0, 4), four times the range of a clean volume."""

_UNREADABLE = (
    OSError,
    EOFError,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)


@dataclass(frozen=True)
class Volume:
    """A 3D image: float32, shape (X, Y, Z), and the matrix, shape (4, 4), from a voxel's index to RAS+ mm."""

    data: np.ndarray
    affine: np.ndarray

    @property
    def grid(self) -> Grid:
        """The grid the data lies on."""
        x, y, z = self.data.shape
        return Grid((x, y, z), self.affine)

    def with_data(self, data: np.ndarray) -> "Volume":
        """Return a volume of other values on the same grid."""
        if data.shape != self.data.shape:
            raise GridMismatchError(f"`data`: expected shape {self.data.shape}; got {data.shape}")
        return Volume(np.ascontiguousarray(data, dtype=np.float32), self.affine)


def save_unit_volume(path: Path | str, volume: Volume) -> None:
    """Save a volume with intensities in [0, 4) as uncompressed uint16 NIfTI, atomically.

    The step is 1/16384 (rounding noise of 95 dB PSNR); the file can be memory-mapped and read by any NIfTI viewer,
    and the same data always gives the same bytes.

    Raises
    ------
    VolumeError
        If a value is not finite or outside [0, 4).
    """
    counts = volume.data / UNIT_STEP
    if not (counts.min() >= -0.5 and counts.max() < 65535.5):
        raise VolumeError(
            f"{Path(path).name}: expected finite intensities in [0, 4); "
            f"got [{volume.data.min():g}, {volume.data.max():g}]"
        )
    _save(path, np.rint(counts).astype(np.uint16), volume.affine, UNIT_STEP)


def save_mask(path: Path | str, volume: Volume) -> None:
    """Save a mask, compressed, uint8, atomically; the same mask always gives the same bytes."""
    _save(path, volume.data.astype(np.uint8), volume.affine)


def load_mask(path: Path | str) -> np.ndarray:
    """Load what `save_mask` wrote, (X, Y, Z), bool; a VolumeError if it is not there."""
    return load_field(path).data > 0


def save_field(path: Path | str, volume: Volume) -> None:
    """Save a smooth field, compressed, float32, atomically; the same field always gives the same bytes."""
    _save(path, volume.data.astype(np.float32), volume.affine)


def load_field(path: Path | str) -> Volume:
    """Load what `save_field` wrote; a VolumeError if it is not there."""
    with _reading(path):
        image = nib.Nifti1Image.from_filename(path)
        return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def _save(path: Path | str, data: np.ndarray, affine: np.ndarray, slope: float | None = None) -> None:
    """Save stored values in MNI152 coordinates; multiplied by `slope`, if there is one, they are what is meant."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=4)
    image.set_qform(affine, code=4)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def load_unit_volume(path: Path | str) -> Volume:
    """Load what `save_unit_volume` wrote as float32."""
    counts, affine = map_unit_volume(path)
    return Volume(counts.astype(np.float32) * np.float32(UNIT_STEP), affine)


def map_unit_volume(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Memory-map the raw uint16 counts of a unit volume; return (counts, affine). Multiply by `UNIT_STEP`."""
    with _reading(path):
        image = nib.Nifti1Image.from_filename(path, mmap=True)
        counts = np.asanyarray(image.dataobj.get_unscaled())  # type: ignore[attr-defined]
    if counts.dtype != np.uint16 or counts.ndim != 3:
        raise VolumeError(
            f"{path}: expected a 3D uint16 volume of this project; got {counts.dtype} with {counts.ndim} dimensions"
        )
    return counts, image.affine


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    """Turn what may be wrong with a file into a VolumeError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise VolumeError(f"{path}: no such file; run the stage that writes it") from None
    except _UNREADABLE as error:
        raise VolumeError(f"{path}: expected a whole NIfTI volume; got {' '.join(str(error).split())}") from error
