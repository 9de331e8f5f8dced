"""FSL's FLIRT, run as an external program where the user has installed it."""

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import RegistrationError

_STDERR_LINES = 5
_FILES = {"moving": "moving.nii", "fixed": "fixed.nii", "start": "start.mat", "result": "moving2fixed.mat"}


def estimate(moving: Volume, fixed: Volume, start: np.ndarray) -> np.ndarray:
    """Refine `start`, the (4, 4) RAS+ mm `moving2fixed`, by FLIRT's correlation ratio with 6 degrees of freedom.

    RegistrationError if FLIRT is not installed, or fails: the message holds its command and its last lines of stderr.
    """
    flirt = find_flirt()
    with tempfile.TemporaryDirectory(prefix="bmenet-flirt-") as folder:
        paths = {name: Path(folder) / file for name, file in _FILES.items()}
        for name, volume in (("moving", moving), ("fixed", fixed)):
            nib.save(nib.Nifti1Image(volume.data.astype(np.float32), volume.affine), paths[name])
        np.savetxt(paths["start"], to_fsl(start, moving.grid, fixed.grid), fmt="%.10f")
        command = build_command(flirt, **paths)
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode != 0:
            last_lines = " | ".join(finished.stderr.strip().splitlines()[-_STDERR_LINES:])
            raise RegistrationError(f"`{shlex.join(command)}` ended with {finished.returncode}: {last_lines}")
        return from_fsl(np.loadtxt(paths["result"]), moving.grid, fixed.grid)


def build_command(flirt: str, moving: Path, fixed: Path, start: Path, result: Path) -> list[str]:
    """Build FLIRT's command line.

    Examples
    --------
    >>> print(*build_command("flirt", Path("m.nii"), Path("f.nii"), Path("s.mat"), Path("r.mat")))
    flirt -in m.nii -ref f.nii -init s.mat -omat r.mat -dof 6 -nosearch
    """
    files = ["-in", moving, "-ref", fixed, "-init", start, "-omat", result]
    return [flirt, *map(str, files), "-dof", "6", "-nosearch"]


def find_flirt() -> str:
    """Return the path of FLIRT, from PATH or FSLDIR."""
    path = shutil.which("flirt") or shutil.which("flirt", path=str(Path(os.environ.get("FSLDIR", "")) / "bin"))
    if path is None:
        raise RegistrationError(
            "registration.backend: flirt needs FSL; expected `flirt` on PATH or in $FSLDIR/bin, found neither; "
            "install FSL or set the backend to ants"
        )
    return path


def scaled_voxels(grid: Grid) -> np.ndarray:
    """Return the (4, 4) map from voxel index to FSL's coordinates: mm along the voxel axes, x flipped when needed.

    FSL wants left-handed axes: where the affine's determinant is positive, x runs from the last voxel.
    """
    to_fsl_mm = np.diag([*grid.spacing_mm, 1.0])
    if np.linalg.det(grid.affine) > 0:
        to_fsl_mm[0, 0] *= -1
        to_fsl_mm[0, 3] = (grid.shape[0] - 1) * grid.spacing_mm[0]
    return to_fsl_mm


def from_fsl(matrix: np.ndarray, moving: Grid, fixed: Grid) -> np.ndarray:
    """Turn FLIRT's matrix (moving to fixed, in FSL's coordinates) into `moving2fixed`, RAS+ mm."""
    moving_mm2fsl = scaled_voxels(moving) @ np.linalg.inv(moving.affine)
    fixed_fsl2mm = fixed.affine @ np.linalg.inv(scaled_voxels(fixed))
    return fixed_fsl2mm @ matrix @ moving_mm2fsl


def to_fsl(moving2fixed: np.ndarray, moving: Grid, fixed: Grid) -> np.ndarray:
    """Turn `moving2fixed`, RAS+ mm, into FLIRT's matrix; the inverse of `from_fsl`."""
    moving_fsl2mm = moving.affine @ np.linalg.inv(scaled_voxels(moving))
    fixed_mm2fsl = scaled_voxels(fixed) @ np.linalg.inv(fixed.affine)
    return fixed_mm2fsl @ moving2fixed @ moving_fsl2mm
