"""The regions that a scan is measured in, found in the scan itself: its tissues, and the air around the head."""

import numpy as np
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.imaging.box import bounding_box
from bmenet.imaging.volume import Volume

_HEAD_LEVEL = 0.2
_AIR_PERCENTILE = 1
_SMOOTHING_MM = 3.0
_MARGIN_MM = 10.0

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

    Parameters, result and errors are those of `segment_tissues`, on a volume in native space.

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


def find_air(volume: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return the air beside and above the brain of a whole head, blank or not.

    The head is the largest piece brighter than the air by a fifth of the way to the brain's median, after smoothing
    over 3 mm to either side, holes filled. Air begins 10 mm from it, and at the height of the brain's centre: below,
    the face, the neck and what flows through it leave no clean air. (MRIQC cuts at the plane from the bridge of the
    nose to the back of the skull, which lies a little lower.)

    `volume` is a whole head, not below 0, of any intensity scale and orientation; the mask and the result are booleans
    of its shape (X, Y, Z).
    """
    widths_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    smooth = ndimage.uniform_filter(volume.data, 2 * np.rint(_SMOOTHING_MM / widths_mm).astype(int) + 1)
    filled = ~find_blank(volume.data)
    air_level = np.percentile(smooth[filled], _AIR_PERCENTILE)
    bright = smooth > air_level + _HEAD_LEVEL * (np.median(volume.data[brain_mask]) - air_level)
    components, _ = ndimage.label(bright | brain_mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    head = ndimage.binary_fill_holes(components == sizes.argmax())
    distance_mm = ndimage.distance_transform_edt(~head, sampling=widths_mm)
    x, y, z = (np.arange(extent) * step for extent, step in zip(volume.data.shape, volume.affine[2, :3], strict=True))
    heights_mm = x[:, None, None] + y[None, :, None] + z[None, None, :] + volume.affine[2, 3]
    return (distance_mm > _MARGIN_MM) & (heights_mm > heights_mm[brain_mask].mean())


def find_blank(data: np.ndarray) -> np.ndarray:
    """Return where a file holds zeros for want of a measurement: padding, a removed face, a masked background.

    A zero of the noise itself, frequent in scans stored as integers, does not fill 3 x 3 x 3 voxels. `data`, shape
    (X, Y, Z), is not below 0; the result is boolean.
    """
    return ndimage.binary_opening(np.pad(data == 0, 1, constant_values=True), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]
