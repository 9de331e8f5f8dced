"""Labels of a brain: what a segmenter returns, FreeSurfer's names and regions, and volumes of labels from a file.

The publication names nine regions but not the labels in them: the assignment in ``freesurfer_labels.csv`` is this
project's own. Names are those of FreeSurfer's colour table; the table covers aseg, the cortical areas of the
Desikan-Killiany and DKT atlases, and all that FastSurfer finds. The choices that could be made otherwise:

- the cerebral cortex has all of the ribbon, cingulate, entorhinal and parahippocampal areas too; the limbic system has
  hippocampus and amygdala;
- white-matter hypointensities are cerebral white matter; the corpus callosum is not;
- thalamus and ventral diencephalon are neither basal ganglia nor brain stem: they are with the others, as are the CSF
  outside the ventricles, choroid plexus, vessels and the optic chiasm.
"""

from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Protocol

import nibabel as nib
import numpy as np
import pandas as pd

from bmenet.imaging.grid import Grid
from bmenet.imaging.scan.geometry import read_geometry
from bmenet.imaging.scan.nifti import check_shape, open_stream, read_nifti
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import BMENetError, VolumeError

_TABLE = Path(__file__).with_name("freesurfer_labels.csv")

REGIONS = (
    "cerebral cortex",
    "cerebral white matter",
    "ventricles",
    "cerebellum",
    "basal ganglia",
    "limbic system",
    "brain stem",
    "corpus callosum",
    "others",
)
"""In the order of the publication."""

MAX_LABEL = (1 << 24) - 1
"""The largest whole number up to which float32, and so every resampling, keeps them all apart."""

_WHOLE = 1e-3
"""A stored slope may leave a label this far from a whole number."""

_MGH_START = b"\x00\x00\x00\x01"
"""Version 1, which is the only one, in the format's byte order."""

_MGH_HEADER_BYTES = 284
_GOOD_RAS = slice(28, 30)
"""The bytes of the flag that says whether an orientation is stored."""

_MGH_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


class SegmentationError(BMENetError):
    """A segmentation tool is not installed, or failed."""


@dataclass(frozen=True)
class Segmentation:
    """The structures of a brain, as numbers; 0 where there is none, and each in one region at most.

    The grid of `labels`, integers of shape (X, Y, Z), may be the tool's own; volumes of one grid are segmented on one.
    """

    labels: np.ndarray
    regions: dict[str, tuple[int, ...]]


class Segmenter(Protocol):
    """A segmentation tool; constructed with the folder where it may keep results."""

    def __init__(self, folder: Path) -> None: ...

    @staticmethod
    def require() -> None:
        """Raise a SegmentationError that says what to install, if the tool is not there."""

    def fingerprint(self) -> str:
        """Return what names the tool, its version and its settings: equal ones give equal segmentations."""

    def segment(self, volume: Volume, brain_mask: np.ndarray) -> Segmentation:
        """Segment the brain of a T1-weighted volume of any intensity scale.

        Raises
        ------
        VolumeError
            If the volume cannot be segmented; SegmentationError if the tool is not installed, or fails.
        """


@cache
def freesurfer_names() -> dict[int, str]:
    """Return the name of every label."""
    return pd.read_csv(_TABLE, index_col="label")["name"].to_dict()


@cache
def freesurfer_regions() -> dict[str, tuple[int, ...]]:
    """Return the labels of every region; each label is in exactly one."""
    groups = pd.read_csv(_TABLE, index_col="label").groupby("region").groups
    return {region: tuple(map(int, groups[region])) for region in REGIONS}


@dataclass(frozen=True)
class LabelVolume:
    """Labels on a grid, and what had to be assumed about their file.

    Parameters
    ----------
    labels : ndarray of int32, shape (X, Y, Z)
        0 is background.
    affine : ndarray, shape (4, 4)
        Voxel index to RAS+ mm.
    """

    labels: np.ndarray
    affine: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """The grid the labels lie on."""
        x, y, z = self.labels.shape
        return Grid((x, y, z), self.affine)


def load_labels(path: Path) -> LabelVolume:
    """Load a volume of labels: NIfTI-1, NIfTI-2 or MGH, gzip or plain, told by the content and not by the name.

    Raises
    ------
    VolumeError
        If the file is not one whole 3D volume of whole numbers from 0 to `MAX_LABEL`; after little time and memory,
        whatever its header claims.
    """
    try:
        with open_stream(path) as stream:
            is_mgh = bytes(stream.read(len(_MGH_START))) == _MGH_START
        return _load_mgh(path) if is_mgh else _load_nifti(path)
    except VolumeError as error:
        raise VolumeError(f"expected a label volume (.mgz, .mgh or NIfTI); {error}") from error


def _load_nifti(path: Path) -> LabelVolume:
    header, counts = read_nifti(path)
    _, affine, notes = read_geometry(header.nifti, header.shape, path)
    counts = counts.reshape(header.shape[:3])
    is_scaled = (header.slope, header.intercept) != (1.0, 0.0)
    values = counts * np.float64(header.slope) + header.intercept if is_scaled else counts
    return LabelVolume(_whole_numbers(values, path), affine, notes)


def _load_mgh(path: Path) -> LabelVolume:
    """Read the 284 bytes before the voxels, check all that they say, then read the voxels."""
    with open_stream(path) as stream:
        block = bytes(stream.read(_MGH_HEADER_BYTES))
        header = nib.freesurfer.mghformat.MGHHeader(block, check=False)
        check_shape(tuple(int(extent) for extent in header["dims"]), path)
        shape = header.get_data_shape()
        if (code := int(header["type"])) not in _MGH_TYPES:
            raise VolumeError(f"{path}: expected an MGH voxel type of {sorted(_MGH_TYPES)}; got {code}")
        nifti = nib.Nifti1Header()
        nifti.set_sform(header.get_affine(), code=1)
        _, affine, notes = read_geometry(nifti, shape[:3], path)
        # nibabel fills the orientation in where the flag is 0, and sets the flag.
        if not any(block[_GOOD_RAS]):
            notes += ("no orientation in the file: FreeSurfer's coronal default is taken",)
        dtype = np.dtype(_MGH_TYPES[code])
        buffer = stream.read(prod(shape) * dtype.itemsize)
        stream.finish()
    values = np.frombuffer(buffer, dtype).reshape(shape[:3], order="F")
    return LabelVolume(_whole_numbers(values, path), affine, notes)


def _whole_numbers(values: np.ndarray, where: Path) -> np.ndarray:
    """Return the values as int32, if labels is what they are."""
    is_real = values.dtype.kind == "f"
    if is_real and (count := np.count_nonzero(~np.isfinite(values))):
        raise VolumeError(f"{where}: expected whole numbers; got NaN or infinity in {count} voxels")
    lowest, highest = values.min(), values.max()
    if lowest < -_WHOLE or highest > MAX_LABEL:
        raise VolumeError(f"{where}: expected labels from 0 to {MAX_LABEL}; got {lowest:g} to {highest:g}")
    if not is_real:
        return values.astype(np.int32)
    labels = np.rint(values).astype(np.int32)
    if (off := np.abs(values - labels) > _WHOLE).any():
        raise VolumeError(
            f"{where}: expected whole numbers; got values such as {values[off][0]:g}: a scan, or labels that were "
            "interpolated (use nearest neighbours)?"
        )
    return labels
