"""Where the voxels lie: qform, sform and their codes, by one table of rules.

======= ======= ==================================================================================
qform   sform   what is done (a code counts if it is above 0 and its matrix is a usable one)
======= ======= ==================================================================================
yes     yes     both are kept, the sform is used; a note if they differ by half a voxel anywhere
yes     no      copied to the sform
no      yes     copied to the qform, unless it shears, which a qform cannot
no      no      axes as NIfTI's oldest method has them (x to the left), codes 2; a note on left and right
======= ======= ==================================================================================

A code above 0 that NIfTI does not define is taken as 2 (aligned), and units that it does not define as mm and s; both
with a note.
"""

from collections.abc import Callable

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from bmenet.runtime.errors import VolumeError

_FIELDS = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
_ALIGNED_CODE = 2
_LAST_CODE = 5
_SPACING_MM = (0.1, 10.0)


def read_geometry(
    header: nib.Nifti1Header, shape: tuple[int, ...], where: object
) -> tuple[nib.Nifti1Header, np.ndarray, tuple[str, ...]]:
    """Return a header that holds nothing but geometry, the affine it means (to RAS+ mm), and notes for the user.

    Raises
    ------
    VolumeError
        If a matrix is said to be there and neither is usable, or voxels are not 0.1 to 10 mm wide.
    """
    geometry = _bare(header, shape)
    undefined = _define(geometry)
    forms, notes = _usable_forms(geometry)
    if not forms and not notes:
        geometry["pixdim"][0] = 1
        forms["base"] = geometry.get_base_affine()
        notes.append("neither a qform nor an sform: LEFT AND RIGHT ARE A GUESS (x is taken to grow to the left)")
    affine = forms.get("sform", forms.get("qform", forms.get("base")))
    if affine is None:
        raise VolumeError(f"{where}: expected a qform or an sform that can be inverted; got neither")
    spacing_mm = voxel_sizes(affine)
    if not ((spacing_mm >= _SPACING_MM[0]) & (spacing_mm <= _SPACING_MM[1])).all():
        raise VolumeError(
            f"{where}: expected voxels {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm wide; got "
            f"{' x '.join(f'{width:g}' for width in spacing_mm)} mm"
        )
    if len(forms) == 1:
        _fill_in(geometry, *forms.popitem())
    elif (distance_mm := _largest_distance(forms["qform"], affine, shape)) > 0.5 * spacing_mm.min():
        notes.append(f"qform and sform differ by up to {distance_mm:.2f} mm: the sform is used")
    return geometry, affine, (*undefined, *notes)


def _define(geometry: nib.Nifti1Header) -> list[str]:
    """Replace codes and units that NIfTI does not define; return a note on each."""
    notes = []
    for name in ("qform_code", "sform_code"):
        if (code := int(geometry[name])) > _LAST_CODE:
            geometry[name] = _ALIGNED_CODE
            notes.append(f"{name} {code} is not defined: taken as {_ALIGNED_CODE}")
    units = int(geometry["xyzt_units"])
    try:
        geometry.get_xyzt_units()
    except KeyError:
        geometry.set_xyzt_units("mm", "sec")
        notes.append(f"xyzt_units {units} are not defined: taken as mm and seconds")
    return notes


def _bare(header: nib.Nifti1Header, shape: tuple[int, ...]) -> nib.Nifti1Header:
    """Return a header with the geometry of another, and nothing else of it."""
    geometry = nib.Nifti1Header()
    geometry.set_data_shape(shape)
    for field in _FIELDS:
        geometry[field] = header[field]
    geometry["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    geometry["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    repetition = float(header["pixdim"][4])
    if np.isfinite(repetition) and repetition >= 0:  # many tools keep TR there
        geometry["pixdim"][4] = repetition
    return geometry


def _usable_forms(geometry: nib.Nifti1Header) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the matrices whose code is above 0 and that can be inverted, and a note on each that cannot."""
    forms, notes = {}, []
    for name, read in (("qform", geometry.get_qform), ("sform", geometry.get_sform)):
        if int(geometry[f"{name}_code"]) > 0:
            affine = _usable(read)
            if affine is None:
                notes.append(f"the {name} cannot be used")
            else:
                forms[name] = affine
    return forms, notes


def _fill_in(geometry: nib.Nifti1Header, name: str, affine: np.ndarray) -> None:
    """Let the one matrix that is there, or the guess, stand for both."""
    code = _ALIGNED_CODE if name == "base" else int(geometry[f"{name}_code"])
    if name != "qform":
        geometry.set_qform(affine, code=0 if _shears(affine) else code, strip_shears=True)
    if name != "sform":
        geometry.set_sform(affine, code=code)


def _usable(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Return the matrix if it can be read and inverted."""
    try:
        affine = read()
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None
    if not np.isfinite(affine).all() or voxel_sizes(affine).min() == 0:
        return None
    directions = affine[:3, :3] / voxel_sizes(affine)
    return affine if abs(np.linalg.det(directions)) > 1e-3 else None


def _shears(affine: np.ndarray) -> bool:
    """Tell whether the voxel axes are not at right angles."""
    directions = affine[:3, :3] / voxel_sizes(affine)
    return not np.allclose(directions.T @ directions, np.eye(3), atol=1e-4)


def _largest_distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return how far apart, in mm, two affines put a corner of the grid."""
    corners = np.stack(np.meshgrid(*[(0, extent - 1) for extent in shape[:3]], indexing="ij"), axis=-1).reshape(-1, 3)
    return float(np.linalg.norm(nib.affines.apply_affine(a - b, corners), axis=1).max())
