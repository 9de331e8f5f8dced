"""The tissues that a scan is measured in, found in the scan itself."""

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.imaging.box import bounding_box
from bmenet.imaging.volume import Volume

_ITERATIONS = 30
_WINDOW_VOXELS = 5
_FLATTEST_PERCENTILE = 10
_BRIGHTEST_PERCENTILE = 99.5
_DIFFERENCE = np.array([-1.0, 2.0, -1.0]) / np.sqrt(6)
"""Second difference with a gain of 1 for white noise."""


def find_tissues(volume: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Segment a scan so that its noise shows as spread within the tissues.

    Classes drawn by intensity alone cut the noise off: a noisy voxel of grey matter goes over to white matter, and the
    noisier a scan is, the more even its tissues seem. So the labels come from a copy whose noise is removed by total
    variation, which leaves edges where they are. Its strength is the noise found in the flattest tenth of the brain. A
    whole head at 2 mm had a CJV of 1.17 clean, 1.51 under severe noise and 1.53 under a severe bias field; with plain
    labels 0.97, 0.85 and 1.04; with the clean scan's own labels for all three 0.97, 1.33 and 1.26.

    Parameters
    ----------
    volume : Volume
        Native space, of any intensity scale; values below 0 count as 0.
    brain_mask : ndarray of bool, shape (X, Y, Z)

    Returns
    -------
    ndarray of uint8, shape (X, Y, Z)
        0 outside the brain, 1 CSF, 2 grey matter, 3 white matter.

    Raises
    ------
    VolumeError
        If the volume cannot be segmented.

    References
    ----------
    Chambolle (2004), J Math Imaging Vis 20:89-97, doi:10.1023/B:JMIV.0000011325.36760.1e.
    """
    if not brain_mask.any():
        return segment_tissues(volume, brain_mask)  # refuses an empty mask in its own words
    box = bounding_box(brain_mask)
    data, inside = np.maximum(volume.data[box], 0), brain_mask[box]
    unit = data / max(float(np.percentile(data[inside], _BRIGHTEST_PERCENTILE)), np.finfo(np.float32).tiny)
    smooth = np.zeros_like(volume.data)
    smooth[box] = denoise_tv_chambolle(unit, weight=_estimate_noise(unit, inside), max_num_iter=_ITERATIONS)
    return segment_tissues(volume.with_data(smooth), brain_mask)


def _estimate_noise(data: np.ndarray, inside: np.ndarray) -> float:
    """Return the standard deviation of the noise, from the part of the brain where the least else changes."""
    residual = data.astype(np.float64)
    for axis in range(3):
        residual = ndimage.convolve1d(residual, _DIFFERENCE, axis)
    energy = ndimage.uniform_filter(residual**2, _WINDOW_VOXELS)
    return float(np.sqrt(np.percentile(energy[inside], _FLATTEST_PERCENTILE)))
