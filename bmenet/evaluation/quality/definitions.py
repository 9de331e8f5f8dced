"""The formulas of the measures, and the regions that they are applied to: tissues, and the air around the head.

The formulas are those of MRIQC 24.0.2. What it takes was read in its code, for its paper leaves it open: the median
stands for a tissue's signal, the standard deviation for its spread, and in the CJV the median absolute deviation
instead. Every function is free of the intensity scale.

References
----------
Esteban et al. (2017), MRIQC: Advancing the automatic prediction of image quality in MRI from unseen sites,
PLoS ONE 12(9):e0184661, doi:10.1371/journal.pone.0184661.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import xlogy
from skimage.restoration import denoise_tv_chambolle

from bmenet.evaluation.segmentation.atropos import segment_tissues
from bmenet.imaging.brain import bounding_box, largest_component
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

_MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


@dataclass(frozen=True)
class Intensities:
    """How bright one region of `count` (n) voxels is.

    `std` is the standard deviation, divided by n; `mad` is the median absolute deviation, scaled to the standard
    deviation of a normal distribution.
    """

    median: float
    std: float
    mad: float
    count: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Intensities":
        """Describe the intensities of a region's voxels, at least one."""
        values = values.astype(np.float64)
        median = float(np.median(values))
        mad = _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))
        return cls(median, float(values.std()), mad, values.size)


def snr(tissue: Intensities) -> float:
    """Return the signal-to-noise ratio within a tissue, ``median / (std sqrt(n / (n - 1)))``; std and n - 1 above 0."""
    return tissue.median / (tissue.std * np.sqrt(tissue.count / (tissue.count - 1)))


def snr_dietrich(tissue: Intensities, air: Intensities) -> float:
    """Return the ratio of a tissue's signal to the noise of the air, ``sqrt((4 - pi) / 2) median / std_air``.

    Where there is no signal, magnitude noise is Rayleigh-distributed; the factor leads from its standard deviation to
    that of the noise in one channel. MRIQC prefers the air's median absolute deviation; in scans stored as integers
    with little noise that is 0 or a whole step, so that here the standard deviation stays, as in the source.

    References
    ----------
    Dietrich et al. (2007), J Magn Reson Imaging 26(2):375-385, eq. A.12, doi:10.1002/jmri.20969.
    """
    return float(np.sqrt((4 - np.pi) / 2)) * tissue.median / air.std


def cnr(wm: Intensities, gm: Intensities, air: Intensities) -> float:
    """Return the contrast-to-noise ratio, ``|median_wm - median_gm| / sqrt(std_air^2 + std_wm^2 + std_gm^2)``.

    References
    ----------
    Magnotta, Friedman (2006), J Digit Imaging 19(2):140-147, doi:10.1007/s10278-006-0264-x.
    """
    return abs(wm.median - gm.median) / float(np.sqrt(air.std**2 + wm.std**2 + gm.std**2))


def cjv(wm: Intensities, gm: Intensities) -> float:
    """Return the coefficient of joint variation, ``(mad_wm + mad_gm) / |median_wm - median_gm|``; 0 is perfect.

    References
    ----------
    Ganzetti, Wenderoth, Mantini (2016), Front Neuroinform 10:10, doi:10.3389/fninf.2016.00010.
    """
    return (wm.mad + gm.mad) / abs(wm.median - gm.median)


def efc(intensities: np.ndarray) -> float:
    """Return the entropy focus criterion, in [0, 1]: 0 with all energy in one voxel, 1 where all voxels are equal.

    ``-sum(x / b ln(x / b)) / (sqrt(N) ln sqrt(N))`` with ``b = sqrt(sum x^2)``: the entropy over its maximum, which
    makes images of different sizes comparable. Of the intensities, two or more, none is below 0 and one above.

    References
    ----------
    Atkinson et al. (1997), IEEE Trans Med Imaging 16(6):903-910, doi:10.1109/42.650886.
    """
    x = intensities.astype(np.float64).ravel()
    shares = x / np.sqrt(np.sum(x**2))
    greatest = np.sqrt(x.size) * np.log(np.sqrt(x.size))
    return float(-np.sum(xlogy(shares, shares)) / greatest)


def find_tissues(volume: Volume, brain_mask: np.ndarray, *, has_field: bool = True) -> np.ndarray:
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
    return segment_tissues(volume.with_data(smooth), brain_mask, has_field=has_field)


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
    head = largest_component(bright | brain_mask)
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
