"""The scans of a matched pair as volumes: on one standard grid, interpolated once each, cut to one brain."""

from dataclasses import dataclass

import numpy as np

from bmenet.config import RegistrationConfig
from bmenet.evaluation.matched.alignment import align_pair
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.brain_extraction import find_brain
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.registration import Registration, register


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
    registration : Registration
        Native to standard space.
    """

    volume: Volume
    support: np.ndarray
    registration: Registration

    @property
    def brain_mask(self) -> np.ndarray:
        """Where metrics of the brain look and gains are fitted, as for every clean volume."""
        return foreground_mask(self.volume.data)


@dataclass(frozen=True)
class MovedVolume:
    """The scan with motion: what the methods restore.

    Parameters
    ----------
    volume : Volume
        Its own foreground percentile is 1, and brighter voxels are kept; zero outside the still scan's support.
    registration : Registration
        Native to standard space by way of the still scan.
    """

    volume: Volume
    registration: Registration


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
    return StillVolume(Volume(unit_data, grid.affine), support, registration)


def prepare_moved(scan: Scan, still: StillVolume, preparation: Preparation) -> MovedVolume:
    """Lay a moved scan on the still one, interpolated once, and cut it to the still scan's brain.

    Raises
    ------
    VolumeError
        If no brain is found.
    RegistrationError
        If the scan cannot be laid on the still one.
    """
    native = _non_negative(scan.volume)
    brain = _cut(native, find_brain(native).brain_mask)
    registration = align_pair(brain, still.volume, still.registration.moving2fixed, preparation.registration)
    standard = _non_negative(resample(native, preparation.grid, registration.moving2fixed))
    data = np.where(still.support, standard.data, 0)
    return MovedVolume(standard.with_data(data / normalise(data, preparation.percentile)[1]), registration)


def _cut(volume: Volume, brain_mask: np.ndarray) -> Volume:
    """Keep the brain alone."""
    return volume.with_data(volume.data * brain_mask)


def _non_negative(volume: Volume) -> Volume:
    """Cut off what is below 0: no signal is, and cubic splines undershoot."""
    return volume.with_data(np.maximum(volume.data, 0))
