"""Rigid alignment of a scan with another one of the same head, whatever their brightness and artefacts."""

import numpy as np

from bmenet.config import RegistrationConfig
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError, Registration
from bmenet.registration.rigid import measure_similarity
from bmenet.registration.start import centre_of_mass_mm, coarsened

_CLIPPED_PERCENTILE = 98
"""What outshines white matter is clipped: vessels and ghosts would stretch the joint histogram."""

_CHECK_SPACING_MM = 4


def align_pair(moved: Volume, still: Volume, start: np.ndarray, config: RegistrationConfig) -> Registration:
    """Estimate the rigid transform (6 degrees of freedom) that lays a moved scan on the still one.

    The tool, its spacing and its measure are those of the registration to the template; the image that it aligns with
    is the same head, so that no size has to be found. It begins at the better of two guesses: the heads lie alike in
    the scanner, or their centres of mass coincide.

    Parameters
    ----------
    moved : Volume
        The brain alone in native space, of any intensity scale; not below 0, all else zero.
    still : Volume
        The brain alone on a standard grid, unit intensities.
    start : ndarray, shape (4, 4)
        Where the still scan's registration put scanner coordinates: RAS+ mm to standard RAS+ mm.
    config : RegistrationConfig

    Returns
    -------
    Registration
        Its similarity is the local correlation with the still scan.

    Raises
    ------
    AlignmentError
        If the aligned scan resembles the still one less than `config.min_similarity`. Two heads reach 0.62 to 0.78; one
        head, even with strong artefacts, must resemble itself as well as that.
    RegistrationError
        If the tool fails.
    """
    coarse = resample(moved, coarsened(moved.grid, config.estimate_spacing_mm), order=1)
    coarse = coarse.with_data(normalise(coarse.data, _CLIPPED_PERCENTILE)[0])
    fixed = still
    if config.estimate_spacing_mm > min(still.grid.spacing_mm):
        fixed = resample(still, standard_grid(config.estimate_spacing_mm), order=1)
    check = resample(still, standard_grid(_CHECK_SPACING_MM), order=1)
    centred = start.copy()
    centred[:3, 3] += centre_of_mass_mm(check) - (start @ [*centre_of_mass_mm(coarse), 1])[:3]
    begin = max((start, centred), key=lambda guess: measure_similarity(coarse, check, guess))
    moving2fixed = BACKENDS[config.backend](coarse, fixed, begin)
    similarity = measure_similarity(coarse, check, moving2fixed)
    if similarity < config.min_similarity:
        raise AlignmentError(
            f"expected a local correlation of the moved scan with the still one of at least {config.min_similarity:g}"
            f" (registration.min_similarity); got {similarity:.2f}; are both of one person, and is each a T1w brain?",
            moving2fixed,
        )
    return Registration(moving2fixed, similarity, config.backend)
