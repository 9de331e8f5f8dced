"""One NIfTI volume as stored, in a file that nobody vouches for: its header, and its counts once that is checked.

The bytes are plain or gzip by content, checked, and never more than was asked for.
"""

import gzip
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.nifti1 import data_type_codes

from bmenet.runtime.errors import VolumeError

MAX_VOXELS = 512**3
"""Half-millimetre whole heads have a third of this; more is a mistake, or an attack."""

MIN_EXTENT = 8
"""Voxels along each axis; fewer is a slice or a slab, not a head."""

_CLASSES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGICS = (b"n+1", b"n+2")
_MAX_OFFSET = 16 << 20
_REAL_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")

_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_RATIO = 1032
"""No deflate stream is longer than this many times its compressed size (zlib's technical notes)."""

_CHUNK = 1 << 20
_MAX_TRAILING = 1 << 20


@dataclass(frozen=True)
class Stream:
    """An open file, read from the front; the path is for messages."""

    handle: BinaryIO
    path: Path
    capacity: int
    """Bytes that the file can hold at most once decompressed; known before anything is read."""

    def read(self, count: int) -> bytearray:
        """Return exactly `count` bytes; memory is taken only for what the file can hold.

        Raises
        ------
        VolumeError
            If the file ends before.
        """
        if count > self.capacity:
            raise VolumeError(f"{self.path}: truncated: expected {count} bytes; the file holds at most {self.capacity}")
        buffer = bytearray(count)
        view, done = memoryview(buffer), 0
        while done < count:
            got = self.handle.readinto(view[done : done + _CHUNK])  # type: ignore[attr-defined]
            if not got:
                raise VolumeError(f"{self.path}: truncated: expected {count} bytes; the file ends after {done}")
            done += got
        return buffer

    def finish(self) -> None:
        """Read to the end, which checks gzip's CRC; a little padding is allowed, a bomb is not unpacked."""
        left = _MAX_TRAILING
        while got := len(self.handle.read(min(left + 1, _CHUNK))):
            left -= got
            if left < 0:
                raise VolumeError(
                    f"{self.path}: expected the file to end with its voxels; got over {_MAX_TRAILING} bytes after them"
                )


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Open a regular file, gzip or not by its first bytes whatever its name says.

    Raises
    ------
    VolumeError
        If it is missing, unreadable, empty, not a regular file, or broken gzip at any point while it is read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise VolumeError(f"{path}: expected a file; got something else (a device, a pipe or a socket)")
        if status.st_size == 0:
            raise VolumeError(f"{path}: expected a NIfTI volume; got an empty file")
        with open(path, "rb") as raw:
            is_gzip = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not is_gzip:
                yield Stream(raw, path, status.st_size)
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield Stream(unpacked, path, status.st_size * _DEFLATE_RATIO)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VolumeError(f"{path}: broken gzip ({error}); copy or download the file again") from error
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class Header:
    """What is needed to read the voxels, all of it checked, but for the geometry in `nifti`, which is as stored.

    The shape is (X, Y, Z), followed by ones if the file has more dimensions; the type is in the byte order of the file;
    slope and intercept are finite, and the slope is not zero.
    """

    nifti: nib.Nifti1Header
    shape: tuple[int, ...]
    dtype: np.dtype
    slope: float
    intercept: float
    notes: tuple[str, ...]

    @property
    def data_bytes(self) -> int:
        """Bytes that the voxels take."""
        return prod(self.shape) * self.dtype.itemsize


def read_nifti(path: Path) -> tuple[Header, np.ndarray]:
    """Return the checked header of a NIfTI-1 or NIfTI-2 file, gzip or plain by content, and its counts as stored.

    The counts are read-only, of the header's shape, in the byte order of the file.

    Raises
    ------
    VolumeError
        If the file is not one whole 3D volume; after little time and memory, whatever the header claims.
    """
    with open_stream(path) as stream:
        header = read_header(stream)
        buffer = stream.read(header.data_bytes)
        stream.finish()
    return header, np.frombuffer(buffer, dtype=header.dtype).reshape(header.shape, order="F")


def read_header(stream: Stream) -> Header:
    """Read a NIfTI-1 or NIfTI-2 header of either byte order and stop where the voxels begin.

    Header extensions are skipped unread: their sizes are not trusted and their text is not wanted.

    Raises
    ------
    VolumeError
        If the file is no single-file NIfTI, or its header cannot be that of one 3D volume of real numbers.
    """
    nifti, where = _parse(stream), stream.path
    shape, dtype = _shape(nifti, where), _dtype(nifti, where)
    offset = float(nifti["vox_offset"])
    least = nifti.single_vox_offset
    if not least <= offset <= _MAX_OFFSET:
        raise VolumeError(f"{where}: expected vox_offset from {least} to {_MAX_OFFSET}; got {offset:g}")
    stream.read(int(offset) - nifti.sizeof_hdr)
    slope, intercept, notes = _scaling(nifti)
    return Header(nifti, shape, dtype, slope, intercept, notes)


def check_shape(shape: tuple[int, ...], where: object) -> None:
    """Refuse what is not one 3D volume of a sensible size."""
    if len(shape) > 3 and prod(shape[3:]) > 1:
        raise VolumeError(f"{where}: expected one 3D volume; got a series of shape {shape}; choose one volume of it")
    if len(shape) < 3 or min(shape[:3]) == 1:
        raise VolumeError(f"{where}: expected a 3D volume; got a 2D image of shape {shape}")
    if min(shape) < 1 or min(shape[:3]) < MIN_EXTENT:
        raise VolumeError(f"{where}: expected at least {MIN_EXTENT} voxels along each axis; got shape {shape}")
    if prod(shape) > MAX_VOXELS:
        raise VolumeError(f"{where}: expected at most {MAX_VOXELS} voxels; got {prod(shape)}, shape {shape}")


def _parse(stream: Stream) -> nib.Nifti1Header:
    """Return the header by its size field, which also tells the version and the byte order."""
    start = stream.read(4)
    for order in ("<", ">"):
        size = int(np.frombuffer(start, dtype=f"{order}i4")[0])
        if size in _CLASSES:
            nifti = _CLASSES[size](bytes(start + stream.read(size - 4)), endianness=order, check=False)
            magic = bytes(nifti["magic"])[:3]
            if magic not in _MAGICS:
                raise VolumeError(
                    f"{stream.path}: expected a single-file NIfTI (magic 'n+1' or 'n+2'); got magic {magic!r}"
                    "; convert pairs of .hdr and .img to .nii"
                )
            return nifti
    raise VolumeError(
        f"{stream.path}: expected a NIfTI volume (.nii or .nii.gz) or a folder with one DICOM series; got neither"
    )


def _shape(nifti: nib.Nifti1Header, where: object) -> tuple[int, ...]:
    """Return the checked shape."""
    dimensions = int(nifti["dim"][0])
    if not 1 <= dimensions <= 7:
        raise VolumeError(f"{where}: expected 3 dimensions (dim[0]); got {dimensions}")
    shape = tuple(int(extent) for extent in nifti["dim"][1 : dimensions + 1])
    check_shape(shape, where)
    return shape


def _dtype(nifti: nib.Nifti1Header, where: object) -> np.dtype:
    """Return the voxel type, one of the real ones."""
    code = int(nifti["datatype"])
    label = data_type_codes.label[code] if code in data_type_codes else "unknown"
    if label not in _REAL_TYPES:
        raise VolumeError(f"{where}: expected voxels that are real numbers; got {label} (datatype {code})")
    return np.dtype(label).newbyteorder(nifti.endianness)


def _scaling(nifti: nib.Nifti1Header) -> tuple[float, float, tuple[str, ...]]:
    """Return slope and intercept; a slope that says nothing counts as 1."""
    slope, intercept = float(nifti["scl_slope"]), float(nifti["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return 1.0, 0.0, (f"the intensity slope is {slope:g}: taken as 1",)
    if not np.isfinite(intercept):
        return slope, 0.0, (f"the intensity intercept is {intercept:g}: taken as 0",)
    return slope, intercept, ()
