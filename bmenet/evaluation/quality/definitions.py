"""The formulas of the measures, as MRIQC 24.0.2 applies them, on plain numbers and arrays.

What MRIQC takes was read in its code, for its paper leaves it open: the median stands for a tissue's signal, the
standard deviation for its spread, and in the CJV the median absolute deviation instead. Every function is free of the
intensity scale.

References
----------
Esteban et al. (2017), MRIQC: Advancing the automatic prediction of image quality in MRI from unseen sites,
PLoS ONE 12(9):e0184661, doi:10.1371/journal.pone.0184661.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

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
