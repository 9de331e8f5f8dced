"""A scan in memory: its voxels, where they lie, and how its file stored them."""

from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np

from bmenet.imaging.volume import Volume

MNI_CODE = 4
"""NIfTI's qform and sform code for coordinates in MNI152 space."""


@dataclass(frozen=True)
class Scan:
    """A 3D scan, kept with all that writing a result on the same grid needs, and nothing that tells whose it is.

    Parameters
    ----------
    volume : Volume
        Finite intensities in the stored voxel order; the affine leads to RAS+ mm.
    shape : tuple of int
        As stored: (X, Y, Z), or (X, Y, Z, 1) for a series of one volume.
    geometry : nibabel.Nifti1Header
        Voxel sizes, qform, sform, their codes and the units; every other field has its default.
    dtype : numpy.dtype
        Of the stored counts, native byte order.
    slope, intercept : float
        Intensity = slope * count + intercept.
    notes : tuple of str
        What the reader had to assume, one sentence each, to be shown to the user.
    """

    volume: Volume
    shape: tuple[int, ...]
    geometry: nib.Nifti1Header
    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0
    notes: tuple[str, ...] = ()

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
