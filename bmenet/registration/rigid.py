"""Rigid alignment of a scan with the standard space: a rough start, one tool, one convention, one check."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bmenet.config import RegistrationConfig
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.registration import ants, flirt
from bmenet.registration.start import LocalNCC, Start, coarsened, find_start
from bmenet.runtime.errors import RegistrationError

BACKENDS: dict[str, Callable[[Volume, Volume, np.ndarray], np.ndarray]] = {
    "ants": ants.estimate,
    "flirt": flirt.estimate,
}
"""Tool to a function (moving, fixed, start) -> moving2fixed; both matrices (4, 4), moving to fixed, RAS+ mm."""

_CHECK_SPACING_MM = 4
_CHECK_WINDOW_VOXELS = 5


@dataclass(frozen=True)
class Registration:
    """A rigid transform to the standard space.

    Parameters
    ----------
    moving2fixed : ndarray, shape (4, 4)
        RAS+ mm of the native scan to RAS+ mm of the standard space.
    similarity : float
        Mean local correlation with the template, scaled to the scanned brain's size, inside its brain; in [-1, 1].
    backend : str
        The tool that estimated it.
    """

    moving2fixed: np.ndarray
    similarity: float
    backend: str


class AlignmentError(RegistrationError):
    """Registration failed; `moving2fixed` (4, 4) is the best transform known by then, for a picture of the failure."""

    def __init__(self, message: str, moving2fixed: np.ndarray) -> None:
        super().__init__(message)
        self.moving2fixed = moving2fixed


def register(moving: Volume, config: RegistrationConfig) -> Registration:
    """Estimate the rigid transform (6 degrees of freedom) from a native scan to the standard space, and check it.

    `moving` is a T1-weighted scan in its native space, any orientation and intensity scale, skull-stripped. Of a whole
    head hand in the brain alone, all else zero: scalp and neck lead the search astray.

    Raises
    ------
    AlignmentError
        If the tool fails, or the aligned scan resembles the template less than `config.min_similarity`.
    RegistrationError
        If the scan is empty.
    """
    coarse, start = _start(moving, config)
    fixed = start.fit_template(load_template(standard_grid(config.estimate_spacing_mm)))
    try:
        moving2fixed = BACKENDS[config.backend](coarse, fixed, start.moving2fixed)
    except RegistrationError as error:
        raise AlignmentError(str(error), start.moving2fixed) from error
    similarity = _check(
        coarse, start, moving2fixed, config, "however it was turned: is it T1-weighted, and is most of a brain in it?"
    )
    return Registration(moving2fixed, similarity, config.backend)


def check_aligned(brain: Volume, config: RegistrationConfig) -> Registration:
    """Take a scan that lies on a standard grid as aligned, after the check that `register` makes.

    `brain` is as `register` takes it; what is returned is the identity, by the tool ``"none"``.

    Raises
    ------
    AlignmentError
        If the scan, as it lies, resembles the template less than `config.min_similarity`.
    RegistrationError
        If the scan is empty.
    """
    coarse, start = _start(brain, config)
    advice = "a scan on the standard grid is not registered again: is it a T1-weighted brain, aligned to MNI152?"
    return Registration(np.eye(4), _check(coarse, start, np.eye(4), config, advice), "none")


def measure_similarity(moving: Volume, fixed: Volume, moving2fixed: np.ndarray) -> float:
    """Return the mean local correlation (20 mm windows at 4 mm) of `moving`, aligned, with `fixed` inside its brain."""
    compare = LocalNCC(fixed.data, foreground_mask(fixed.data), _CHECK_WINDOW_VOXELS)
    return compare(resample(moving, fixed.grid, moving2fixed, order=1).data)


def _start(moving: Volume, config: RegistrationConfig) -> tuple[Volume, Start]:
    """Return the scan at the spacing of the estimate, [0, 1], and its rough alignment and size."""
    coarse = _clip_bright(resample(moving, coarsened(moving.grid, config.estimate_spacing_mm), order=1))
    return coarse, find_start(coarse)


def _check(coarse: Volume, start: Start, moving2fixed: np.ndarray, config: RegistrationConfig, advice: str) -> float:
    """Return the similarity of the aligned scan with the template of its size; refuse too little."""
    fixed = start.fit_template(load_template(standard_grid(_CHECK_SPACING_MM)))
    similarity = measure_similarity(coarse, fixed, moving2fixed)
    if similarity < config.min_similarity:
        raise AlignmentError(
            f"expected a local correlation with the template of at least {config.min_similarity:g}; got"
            f" {similarity:.2f}; {advice}",
            moving2fixed,
        )
    return similarity


def _clip_bright(volume: Volume) -> Volume:
    """Scale to [0, 1] and clip what outshines white matter: vessels and fat would stretch the joint histogram."""
    bright = volume.data > 0.05 * np.percentile(volume.data, 99.9)
    ceiling = np.percentile(volume.data[bright], 98) if bright.any() else 1.0
    return volume.with_data(np.clip(volume.data / ceiling, 0, 1))
