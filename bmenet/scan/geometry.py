"""Where the voxels lie: qform, sform and their codes, by one table of rules.

======= ======= ==================================================================================
qform   sform   what is done (a code counts if it is above 0 and its matrix is a usable one)
======= ======= ==================================================================================
yes     yes     both are kept, the sform is used; a note if they differ by half a voxel anywhere
yes     no      copied to the sform
no      yes     copied to the qform, unless it shears, which a qform cannot
no      no      axes as NIfTI's oldest method has them (x to the left), codes 2; a note on left and right
======= ======= ==================================================================================
"""

import nibabel as nib
import numpy as np

from bmenet.errors import VolumeError

_FIELDS = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d")
_FIELDS += ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units")
_ALIGNED_CODE = 2
_SPACING_MM = (0.1, 10.0)


def read_geometry(
    header: nib.Nifti1Header, shape: tuple[int, ...], where: object
) -> tuple[nib.Nifti1Header, np.ndarray, tuple[str, ...]]:
    """Return a header that holds nothing but geometry, the affine it means, and notes for the user.

    Parameters
    ----------
    header : nibabel.Nifti1Header
        As stored.
    shape : tuple of int
        Of the voxels.
    where : object
        Opens the message of an error: a path.

    Returns
    -------
    geometry : nibabel.Nifti1Header
    affine : ndarray, shape (4, 4)
        Voxel index to RAS+ mm.
    notes : tuple of str

    Raises
    ------
    VolumeError
        If a matrix is said to be there and neither is usable, or voxels are not 0.1 to 10 mm wide.
    """
    geometry = nib.Nifti1Header()
    geometry.set_data_shape(shape)
    for field in _FIELDS:
        geometry[field] = header[field]
    geometry["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    geometry["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    stored = {"qform": int(header["qform_code"]) > 0, "sform": int(header["sform_code"]) > 0}
    qform = _usable(geometry.get_qform) if stored["qform"] else None
    sform = _usable(geometry.get_sform) if stored["sform"] else None
    notes = [f"the {name} cannot be used" for name, form in (("qform", qform), ("sform", sform)) if stored[name] and form is None]

    if qform is not None and sform is not None:
        affine = sform
        if (distance_mm := _largest_distance(qform, sform, shape)) > 0.5 * _spacing(sform).min():
            notes.append(f"qform and sform differ by up to {distance_mm:.2f} mm: the sform is used")
    elif qform is not None:
        affine = qform
        geometry.set_sform(affine, code=int(header["qform_code"]))
    elif sform is not None:
        affine = sform
        code = 0 if _shears(sform) else int(header["sform_code"])
        geometry.set_qform(affine, code=code, strip_shears=True)
    elif any(stored.values()):
        raise VolumeError(f"{where}: expected a qform or an sform that can be inverted; got neither")
    else:
        geometry["pixdim"][0] = 1
        affine = geometry.get_base_affine()
        if np.isfinite(affine).all() and np.linalg.det(affine) != 0:
            geometry.set_qform(affine, code=_ALIGNED_CODE)
            geometry.set_sform(affine, code=_ALIGNED_CODE)
        notes.append("there is neither a qform nor an sform: LEFT AND RIGHT ARE A GUESS (x is taken to grow to the left)")
    spacing_mm = _spacing(affine)
    if not ((spacing_mm >= _SPACING_MM[0]) & (spacing_mm <= _SPACING_MM[1])).all():
        raise VolumeError(
            f"{where}: expected voxels {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm wide; got "
            f"{' x '.join(f'{width:g}' for width in spacing_mm)} mm"
        )
    return geometry, affine, tuple(notes)


def _usable(read: object) -> np.ndarray | None:
    """Return the matrix if it can be read and inverted."""
    try:
        affine = read()  # type: ignore[operator]
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None
    if not np.isfinite(affine).all() or _spacing(affine).min() == 0:
        return None
    directions = affine[:3, :3] / _spacing(affine)
    return affine if abs(np.linalg.det(directions)) > 1e-3 else None


def _spacing(affine: np.ndarray) -> np.ndarray:
    """Return the voxel edges in mm."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def _shears(affine: np.ndarray) -> bool:
    """Tell whether the voxel axes are not at right angles."""
    directions = affine[:3, :3] / _spacing(affine)
    return not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4)


def _largest_distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far apart, in mm, two affines put a corner of the grid."""
    corners = np.stack(np.meshgrid(*[(0, extent - 1) for extent in shape[:3]], indexing="ij"), axis=-1).reshape(-1, 3)
    return float(np.linalg.norm(nib.affines.apply_affine(a - b, corners), axis=1).max())
