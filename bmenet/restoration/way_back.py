"""The way back: a restored volume from the standard grid to the grid of its scan, and into it."""

import numpy as np

from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.resample import resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.restoration.blending import blend, left_around


def return_to_native(
    restored: Volume, weight: Volume, scan: Scan, brain: Brain, fixed2moving: np.ndarray, strength: float
) -> Scan:
    """Return a scan with its restored brain in the place of the one that it had.

    Parameters
    ----------
    restored, weight : Volume
        On the standard grid: the result, and how much of it enters, in [0, `strength`].
    scan : Scan
        As it was loaded.
    brain : Brain
        Of `scan`. Where it is skull-stripped, what lies around it is noise, and goes as far as the brain is restored.
    fixed2moving : ndarray, shape (4, 4)
        From the standard space to the scan's.
    strength : float
        How much of the restoration is applied, in [0, 1].

    Returns
    -------
    Scan
        Empty where `scan` was, beyond the brain.
    """
    grid = scan.volume.grid
    returned = non_negative(resample(restored, grid, fixed2moving, antialias=False))
    weight = resample(weight, grid, fixed2moving, order=1, antialias=False)
    kept = scan.volume
    if brain.is_skull_stripped:
        kept = kept.with_data(np.where(brain.brain_mask, 1, left_around(weight.data, strength)) * kept.data)
    is_empty = (scan.volume.data == 0) & ~brain.brain_mask
    return scan.with_data(np.where(is_empty, 0, blend(returned, kept, weight).data))


def return_std(std: Volume, scan: Scan, fixed2moving: np.ndarray) -> Scan:
    """Return the standard deviation over samples on the grid of the scan; linear, so that it stays positive."""
    return scan.with_data(resample(std, scan.volume.grid, fixed2moving, order=1, antialias=False).data)


def non_negative(volume: Volume) -> Volume:
    """Cut off the overshoot of cubic splines below 0."""
    return volume.with_data(np.maximum(volume.data, 0))
