"""ANTs' rigid registration, embedded as ANTsPy: the default tool."""

import os
import tempfile
from pathlib import Path

import numpy as np

from bmenet.errors import RegistrationError
from bmenet.volume import Volume

_RANDOM_SEED = 1

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world axes (left, posterior, superior) to RAS+ and back."""


def estimate(moving: Volume, fixed: Volume) -> np.ndarray:
    """Return `moving2fixed` (4, 4), RAS+ mm, that lays `moving` on `fixed`; Mattes mutual information.

    A size difference is estimated with the pose (7 degrees of freedom) and then dropped about the centre of `fixed`:
    the template is up to a fifth larger than a brain, and a purely rigid search lays the smaller brain against one
    side of it, up to 15 mm too high in the scans that were looked at.

    One ITK thread and a fixed seed: the same input gives the same matrix.
    """
    # ITK reads this once, before its first filter runs.
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants

    ants.config.set_ants_deterministic(on=False, seed_value=_RANDOM_SEED)  # `on` would allow no schedule but its own
    with tempfile.TemporaryDirectory(prefix="bmenet-ants-") as folder:
        try:
            result = ants.registration(
                fixed=_to_ants(fixed),
                moving=_to_ants(moving),
                type_of_transform="Similarity",
                initial_transform="Identity",
                outprefix=str(Path(folder) / "rigid"),
                aff_metric="mattes",
                aff_iterations=(300, 100, 20),
                aff_shrink_factors=(4, 2, 1),
                aff_smoothing_sigmas=(2, 1, 0),
            )
            (path,) = result["fwdtransforms"]
            transform = ants.read_transform(path)
        except (RuntimeError, ValueError) as error:
            raise RegistrationError(f"ANTs found no rigid transform: {error}") from error
    return without_scale(from_itk(transform.parameters, transform.fixed_parameters), _grid_centre_mm(fixed))


def without_scale(moving2fixed: np.ndarray, centre_mm: np.ndarray) -> np.ndarray:
    """Return the rigid transform with the rotation of `moving2fixed` that sends the same point to `centre_mm`."""
    left, _, right = np.linalg.svd(moving2fixed[:3, :3])
    origin_mm = np.linalg.solve(moving2fixed, [*centre_mm, 1.0])[:3]
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right
    rigid[:3, 3] = centre_mm - rigid[:3, :3] @ origin_mm
    return rigid


def _grid_centre_mm(volume: Volume) -> np.ndarray:
    """Return the centre of the grid, RAS+ mm."""
    return (volume.affine @ [*((np.array(volume.data.shape) - 1) / 2), 1.0])[:3]


def from_itk(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Turn an ITK affine transform into `moving2fixed`.

    ITK maps a point of the fixed image to the moving one, ``A (p - c) + c + t``, in LPS+ mm: the inverse, in other axes.

    Parameters
    ----------
    parameters : ndarray, shape (12,)
        The rows of A, then t.
    centre : ndarray, shape (3,)
        The fixed parameters c.
    """
    rotation = np.reshape(parameters[:9], (3, 3))
    fixed2moving = np.eye(4)
    fixed2moving[:3, :3] = rotation
    fixed2moving[:3, 3] = np.asarray(parameters[9:]) + centre - rotation @ centre
    return np.linalg.inv(LPS @ fixed2moving @ LPS)


def _to_ants(volume: Volume):  # noqa: ANN202 - ants is imported lazily
    """Copy a volume into an ANTs image."""
    import ants

    spacing_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    affine = LPS @ volume.affine
    return ants.from_numpy(
        volume.data.astype(np.float32),
        origin=affine[:3, 3].tolist(),
        spacing=spacing_mm.tolist(),
        direction=affine[:3, :3] / spacing_mm,
    )
