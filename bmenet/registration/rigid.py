"""Rigid alignment of a scan to the template: coarse copies, one tool, one convention, one check."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmenet.brain import foreground_mask
from bmenet.config import RegistrationConfig
from bmenet.errors import RegistrationError
from bmenet.grid import Grid, standard_grid
from bmenet.registration import ants
from bmenet.resample import resample
from bmenet.template import load_template
from bmenet.volume import Volume

BACKENDS: dict[str, Callable[[Volume, Volume], np.ndarray]] = {"ants": ants.estimate}
"""Tool name to a function (moving, fixed) -> moving2fixed."""


@dataclass(frozen=True)
class Registration:
    """A rigid transform to the standard space.

    Parameters
    ----------
    moving2fixed : ndarray, shape (4, 4)
        RAS+ mm of the native scan to RAS+ mm of the standard space.
    similarity : float
        Normalised cross-correlation with the template inside its brain, in [-1, 1].
    backend : str
        The tool that estimated it.
    """

    moving2fixed: np.ndarray
    similarity: float
    backend: str


def register(moving: Volume, config: RegistrationConfig) -> Registration:
    """Estimate the rigid transform (6 dof) from a native scan to the standard space, and check it.

    Parameters
    ----------
    moving : Volume
        A T1-weighted scan in its native space, any intensity scale.
    config : RegistrationConfig

    Raises
    ------
    RegistrationError
        If the tool fails, or the aligned scan resembles the template less than `config.min_similarity`.
    """
    fixed = load_template(standard_grid(config.estimate_spacing_mm))
    coarse = resample(moving, _coarse_grid(moving.grid, config.estimate_spacing_mm), order=1)
    start = _centre_of_mass_shift(coarse, fixed)
    shifted = Volume(coarse.data, start @ coarse.affine)
    moving2fixed = BACKENDS[config.backend](shifted, fixed) @ start
    similarity = measure_similarity(coarse, fixed, moving2fixed)
    if similarity < config.min_similarity:
        raise RegistrationError(
            f"expected the aligned scan to resemble the template with NCC >= {config.min_similarity:g} "
            f"(registration.min_similarity); got {similarity:.3f}; is it a T1-weighted brain?"
        )
    return Registration(moving2fixed, similarity, config.backend)


def measure_similarity(moving: Volume, fixed: Volume, moving2fixed: np.ndarray) -> float:
    """Return the normalised cross-correlation of `moving`, aligned, and `fixed` inside the brain of `fixed`."""
    inside = foreground_mask(fixed.data)
    a = resample(moving, fixed.grid, moving2fixed, order=1).data[inside]
    b = fixed.data[inside]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 else 0.0


def _coarse_grid(grid: Grid, spacing_mm: float) -> Grid:
    """Return a grid along the same axes whose voxels are at least about `spacing_mm` wide; same field of view."""
    factors = np.maximum(spacing_mm / np.asarray(grid.spacing_mm), 1.0)
    x, y, z = (int(np.ceil(extent / factor)) for extent, factor in zip(grid.shape, factors, strict=True))
    coarsen = np.diag([*factors, 1.0])
    coarsen[:3, 3] = (factors - 1) / 2  # the outer faces of the corner voxels stay where they are
    return Grid((x, y, z), grid.affine @ coarsen)


def _centre_of_mass_shift(moving: Volume, fixed: Volume) -> np.ndarray:
    """Return the translation, RAS+ mm, that lays the moving centre of mass on the fixed one."""
    shift = np.eye(4)
    shift[:3, 3] = _centre_of_mass_mm(fixed) - _centre_of_mass_mm(moving)
    return shift


def _centre_of_mass_mm(volume: Volume) -> np.ndarray:
    """Return the centre of mass of the non-negative intensities, RAS+ mm."""
    weights = np.maximum(volume.data, 0)
    profiles = [weights.sum(axis=tuple(other for other in range(3) if other != axis), dtype=float) for axis in range(3)]
    centre = [np.average(np.arange(profile.size), weights=profile) for profile in profiles]
    return (volume.affine @ [*centre, 1.0])[:3]
