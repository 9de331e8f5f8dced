"""The scans of a matched pair as volumes: aligned, interpolated once each, on one standard grid, cut to one brain."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bmenet.config import RegistrationConfig
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError, Registration, register
from bmenet.registration.rigid import measure_similarity
from bmenet.registration.start import centre_of_mass_mm, coarsened
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import atomic_path

_CLIPPED_PERCENTILE = 98
"""What outshines white matter is clipped: vessels and ghosts would stretch the joint histogram."""

_CHECK_SPACING_MM = 4


@dataclass(frozen=True)
class Preparation:
    """How scans become volumes.

    Parameters
    ----------
    spacing_mm : int
        Of the standard grid; that of the weights.
    percentile : float
        Of the foreground, goes to 1: as `normalise` takes it.
    registration : RegistrationConfig
        Of the still scan with the template, and of the moved scan with the still one.
    """

    spacing_mm: int
    percentile: float
    registration: RegistrationConfig

    @property
    def grid(self) -> Grid:
        """The grid that every volume lies on."""
        return standard_grid(self.spacing_mm)


@dataclass(frozen=True)
class StillVolume:
    """The scan without motion: what every restoration is measured against.

    Parameters
    ----------
    volume : Volume
        Clean, [0, 1], zero outside the brain.
    support : ndarray of bool, shape (X, Y, Z)
        Where the still scan's brain is; the moved volume is cut to it too.
    moving2fixed : ndarray, shape (4, 4)
        RAS+ mm of the native scan to RAS+ mm of the standard space.
    """

    volume: Volume
    support: np.ndarray
    moving2fixed: np.ndarray

    @property
    def brain_mask(self) -> np.ndarray:
        """Where metrics of the brain look and gains are fitted, as for every clean volume."""
        return foreground_mask(self.volume.data)

    def save(self, path: Path) -> None:
        """Write everything to one file, atomically."""
        _save_arrays(path, **vars(self.volume), support=self.support, moving2fixed=self.moving2fixed)

    @classmethod
    def load(cls, path: Path) -> "StillVolume":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(Volume(arrays["data"], arrays["affine"]), arrays["support"], arrays["moving2fixed"])


def prepare_still(scan: Scan, preparation: Preparation) -> StillVolume:
    """Register a still scan to the template and make it a clean volume, as the stage `register` makes one of a head.

    A scan that is skull-stripped already is cut to its brain too, so that what it is compared with can be.

    Raises
    ------
    VolumeError
        If no brain is found.
    RegistrationError
        If the scan cannot be laid on the template.
    """
    native, grid = _non_negative(scan.volume), preparation.grid
    brain_mask = find_brain(native).brain_mask
    registration = register(_cut(native, brain_mask), preparation.registration)
    standard = _non_negative(resample(native, grid, registration.moving2fixed)).data
    # Cut after the interpolation: a spline across an edge cut before would ring.
    support = resample(native.with_data(brain_mask), grid, registration.moving2fixed, order=1).data > 0.5
    unit_data, _ = normalise(np.where(support, standard, 0), preparation.percentile)
    return StillVolume(Volume(unit_data, grid.affine), support, registration.moving2fixed)


def prepare_moved(scan: Scan, still: StillVolume, preparation: Preparation) -> Volume:
    """Lay a moved scan on the still one, interpolated once, and cut it to the still scan's brain.

    Returns
    -------
    Volume
        What the methods restore: its own foreground percentile is 1, and brighter voxels are kept; zero outside the
        still scan's support.

    Raises
    ------
    VolumeError
        If no brain is found.
    RegistrationError
        If the scan cannot be laid on the still one.
    """
    native = _non_negative(scan.volume)
    brain = _cut(native, find_brain(native).brain_mask)
    moving2fixed = align_pair(brain, still.volume, still.moving2fixed, preparation.registration).moving2fixed
    standard = _non_negative(resample(native, preparation.grid, moving2fixed))
    data = np.where(still.support, standard.data, 0)
    return standard.with_data(data / normalise(data, preparation.percentile)[1])


def save_moved(path: Path, moved: Volume) -> None:
    """Write a moved volume, whose intensities may exceed 1, atomically."""
    _save_arrays(path, **vars(moved))


def load_moved(path: Path) -> Volume:
    """Read what `save_moved` wrote."""
    with np.load(path) as arrays:
        return Volume(arrays["data"], arrays["affine"])


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


def matched_gain(restored: np.ndarray, still: np.ndarray, brain_mask: np.ndarray) -> float:
    """Return the gain g that minimises ``|g r - s|^2`` inside the brain, ``<r, s> / <r, r>``: restored r, still s.

    Two acquisitions have different receiver gains, so a restoration cannot know how bright the still scan is. The same
    rule for every method, the input included, takes the difference out. It hides any error in overall brightness, and
    gives each method the best PSNR that a single factor can. It does not hide a difference that varies in space: the
    coil's sensitivity at another place of the head counts as error of every method alike.

    Parameters
    ----------
    restored, still : ndarray, shape (X, Y, Z)
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Raises
    ------
    VolumeError
        If `restored` has no signal inside the brain, or the opposite one.
    """
    inside = restored[brain_mask].astype(np.float64)
    agreement = float(inside @ still[brain_mask])
    if not agreement > 0:
        raise VolumeError("expected a restored volume with signal inside the brain; got one without")
    return agreement / float(inside @ inside)


def _cut(volume: Volume, brain_mask: np.ndarray) -> Volume:
    """Keep the brain alone."""
    return volume.with_data(volume.data * brain_mask)


def _non_negative(volume: Volume) -> Volume:
    """Cut off what is below 0: no signal is, and cubic splines undershoot."""
    return volume.with_data(np.maximum(volume.data, 0))


def _save_arrays(path: Path, **arrays: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
