"""The scans of a matched pair as volumes: aligned, interpolated once each, on one grid, with one brain mask."""

import numpy as np

from bmenet.config import RegistrationConfig
from bmenet.evaluation.result import within_units
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError, Registration, register
from bmenet.registration.rigid import measure_similarity
from bmenet.registration.start import centre_of_mass_mm, coarsened

_CLIPPED_PERCENTILE = 98
"""What outshines white matter is clipped: vessels and ghosts would stretch the joint histogram."""

_CHECK_SPACING_MM = 4
_SCALE_PERCENTILE = 99.5
"""Of the foreground, goes to 1."""


def prepare_still(scan: Scan, spacing_mm: int, config: RegistrationConfig) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Register a still scan to the template by its brain and make it a clean volume, as the stage `register` does.

    The field of its scanner stays in it, for the moved scan has it too. A scan that is skull-stripped already is cut
    to its brain, so that what it is compared with can be.

    Returns
    -------
    volume : Volume
        Clean, [0, 1]; of a stripped scan zero outside the brain.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    moving2fixed : ndarray, shape (4, 4)
        RAS+ mm of the native scan to RAS+ mm of the standard space.

    Raises
    ------
    VolumeError
        If no brain is found.
    RegistrationError
        If the scan cannot be laid on the template.
    """
    native, grid = _non_negative(scan.volume), standard_grid(spacing_mm)
    brain = find_brain(native)
    moving2fixed = register(_cut(native, brain.brain_mask), config).moving2fixed
    standard = _non_negative(resample(native, grid, moving2fixed))
    # Cut after the interpolation: a spline across an edge cut before would ring.
    brain_mask = resample(native.with_data(brain.brain_mask), grid, moving2fixed, order=1).data > 0.5
    kept = _cut(standard, brain_mask) if brain.is_skull_stripped else standard
    unit_data, _ = normalise(kept.data, _SCALE_PERCENTILE)
    return Volume(unit_data, grid.affine), brain_mask, moving2fixed


def prepare_moved(
    scan: Scan, still: Volume, brain_mask: np.ndarray, start: np.ndarray, config: RegistrationConfig
) -> Volume:
    """Lay a moved scan on the still one by their brains, interpolated once; cut to one brain where the still scan is.

    `still`, `brain_mask` and `start`, shape (4, 4), are as `prepare_still` returns them. In the result, which the
    methods restore, its own foreground percentile is 1, and brighter voxels are kept, up to what a file of unit
    intensities can hold.

    Raises
    ------
    VolumeError
        If no brain is found.
    RegistrationError
        If the scan cannot be laid on the still one.
    """
    native = _non_negative(scan.volume)
    brain = _cut(native, find_brain(native).brain_mask)
    moving2fixed = align_pair(brain, _cut(still, brain_mask), start, config).moving2fixed
    standard = _non_negative(resample(native, still.grid, moving2fixed))
    if not still.data[~brain_mask].any():
        standard = _cut(standard, brain_mask)
    return within_units(standard.with_data(standard.data / normalise(standard.data, _SCALE_PERCENTILE)[1]))


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


def _cut(volume: Volume, brain_mask: np.ndarray) -> Volume:
    """Keep the brain alone."""
    return volume.with_data(volume.data * brain_mask)


def _non_negative(volume: Volume) -> Volume:
    """Cut off what is below 0: no signal is, and cubic splines undershoot."""
    return volume.with_data(np.maximum(volume.data, 0))
