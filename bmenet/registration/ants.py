"""ANTs' rigid registration, embedded as ANTsPy: the default tool."""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import RegistrationError

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world axes (left, posterior, superior) to RAS+, and back."""

_RANDOM_SEED = 1


def estimate(moving: Volume, fixed: Volume, start: np.ndarray) -> np.ndarray:
    """Refine `start`, the (4, 4) RAS+ mm `moving2fixed`, by Mattes mutual information inside the brain of `fixed`.

    One ITK thread and a fixed seed: the same input gives the same matrix. RegistrationError if ANTs fails.
    """
    # ITK reads this once, before its first filter runs.
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants

    # Only the seed: `on=True` would refuse every schedule but ANTs' own, at full resolution.
    ants.config.set_ants_deterministic(on=False, seed_value=_RANDOM_SEED)
    started = Volume(moving.data, start @ moving.affine)
    with tempfile.TemporaryDirectory(prefix="bmenet-ants-") as folder:
        try:
            result = ants.registration(
                fixed=_to_ants(fixed),
                moving=_to_ants(started),
                type_of_transform="Rigid",
                initial_transform="Identity",
                outprefix=str(Path(folder) / "rigid"),
                mask=_to_ants(fixed.with_data(foreground_mask(fixed.data))),
                mask_all_stages=True,
                aff_metric="mattes",
                aff_iterations=(300, 100, 20),
                aff_shrink_factors=(4, 2, 1),
                aff_smoothing_sigmas=(2, 1, 0),
            )
            (path,) = result["fwdtransforms"]
            transform = ants.read_transform(path)
        except (RuntimeError, ValueError) as error:
            raise RegistrationError(f"ANTs found no rigid transform: {error}") from error
    return from_itk(transform.parameters, transform.fixed_parameters) @ start


def from_itk(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Turn an ITK affine transform into `moving2fixed`, RAS+ mm.

    ITK maps a point of the fixed image to the moving one, ``A (p - c) + c + t`` in LPS+ mm: the inverse, in other axes.
    The 12 `parameters` are the rows of A, then t; the `centre` is c, (3,), which ITK calls the fixed parameters.
    """
    rotation = np.reshape(parameters[:9], (3, 3))
    fixed2moving = np.eye(4)
    fixed2moving[:3, :3] = rotation
    fixed2moving[:3, 3] = np.asarray(parameters[9:]) + centre - rotation @ centre
    return np.linalg.inv(LPS @ fixed2moving @ LPS)


def _to_ants(volume: Volume) -> Any:
    """Copy a volume into an ANTs image."""
    import ants

    affine, spacing_mm = LPS @ volume.affine, np.array(volume.grid.spacing_mm)
    return ants.from_numpy(
        volume.data.astype(np.float32),
        origin=affine[:3, 3].tolist(),
        spacing=spacing_mm.tolist(),
        direction=affine[:3, :3] / spacing_mm,
    )
