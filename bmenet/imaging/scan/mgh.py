"""FreeSurfer's volumes, .mgz and .mgh: read as carefully as NIfTI, and written back."""

from math import prod
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from bmenet.imaging.scan.nifti import Stream, check_shape, open_stream
from bmenet.runtime.errors import VolumeError

_MAGIC = b"\0\0\0\1"
"""The version that every file has, where a NIfTI header has its size."""
_HEADER_BYTES = 284
_HAS_DIRECTIONS = slice(28, 30)
_TYPES = {0: "uint8", 1: "int32", 3: "float32", 4: "int16", 10: "uint16"}
_SCANNER_CODE = 1
_GUESS = "the header says not how the voxels lie: LEFT AND RIGHT ARE A GUESS (as FreeSurfer's own conformed volumes)"


def is_mgh(path: Path) -> bool:
    """Tell a volume of FreeSurfer by its content; VolumeError if it cannot be read."""
    with open_stream(path) as stream:
        return bytes(stream.handle.read(len(_MAGIC))) == _MAGIC


def read_mgh(path: Path) -> tuple[nib.Nifti1Header, np.ndarray, tuple[str, ...]]:
    """Return a NIfTI header with the geometry of a FreeSurfer volume, its counts as stored, and notes for the user.

    Raises
    ------
    VolumeError
        If the file is not one whole 3D volume; after little time and memory, whatever the header claims.
    """
    with open_stream(path) as stream:
        block, shape, dtype = read_mgh_header(stream)
        header = MGHHeader(block, check=False)  # nibabel fills in directions where there are none
        buffer = stream.read(prod(shape) * dtype.itemsize)
        stream.finish()
    affine = np.array(header.get_affine(), dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise VolumeError(f"{path}: expected voxels that lie somewhere; got directions or widths that are none")
    nifti = nib.Nifti1Header()
    nifti.set_data_shape(shape[:3])
    nifti.set_qform(affine, _SCANNER_CODE)
    nifti.set_sform(affine, _SCANNER_CODE)
    nifti.set_xyzt_units("mm", "sec")
    counts = np.frombuffer(buffer, dtype=dtype).reshape(shape[:3], order="F")
    return nifti, counts, () if any(block[_HAS_DIRECTIONS]) else (_GUESS,)


def read_mgh_header(stream: Stream) -> tuple[bytes, tuple[int, ...], np.dtype]:
    """Read the header of a FreeSurfer volume; return it as it is, the shape and the type of the voxels, both checked.

    Raises
    ------
    VolumeError
        If it cannot be that of one 3D volume.
    """
    block = bytes(stream.read(_HEADER_BYTES))
    header = MGHHeader(block, check=False)
    shape = tuple(int(extent) for extent in header["dims"])
    check_shape(shape, stream.path)
    if (code := int(header["type"])) not in _TYPES:
        raise VolumeError(f"{stream.path}: expected voxels of a type that FreeSurfer has; got type {code}")
    return block, shape, np.dtype(_TYPES[code]).newbyteorder(">")


def mgh_image(counts: np.ndarray, affine: np.ndarray) -> nib.MGHImage:
    """Return an image of FreeSurfer's, in the type of the counts where it has it, else in float32."""
    dtype = counts.dtype if counts.dtype.name in _TYPES.values() else np.dtype(np.float32)
    return nib.MGHImage(counts.astype(dtype.newbyteorder(">")), affine)
