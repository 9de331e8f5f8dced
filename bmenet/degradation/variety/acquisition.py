"""Other scanners: contrast curves and resolutions, the same for the clean volume and its degraded twin."""

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from bmenet.config.augmentation import ContrastConfig, ResolutionConfig
from bmenet.imaging.volume import Volume

_KNOTS = np.linspace(0, 1, 6)
_FWHM_PER_SIGMA = 2.355
_TABLE = np.linspace(0, 1, 1025)


def recontrast(clean: Volume, config: ContrastConfig, rng: np.random.Generator) -> Volume:
    """Send unit intensities through a random rising curve from 0 to 1: a power, bent at some knots."""
    gamma = np.exp(rng.uniform(np.log(config.gamma.low), np.log(config.gamma.high)))
    steps = np.diff(_KNOTS**gamma) * np.exp(config.bend * rng.standard_normal(_KNOTS.size - 1))
    curve = PchipInterpolator(_KNOTS, np.concatenate([[0], np.cumsum(steps)]) / steps.sum())(_TABLE)
    return clean.with_data(np.interp(clean.data, _TABLE, curve))


def lower_resolution(clean: Volume, config: ResolutionConfig, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
    """Blur as larger voxels do: alike along all axes, or thicker along one.

    Returns
    -------
    blurred : Volume
        Zero where `clean` is.
    sigma : ndarray, shape (3,)
        Of the Gaussian along x, y, z, in voxels.
    """
    fwhm_mm = np.full(3, rng.uniform(config.fwhm_mm.low, config.fwhm_mm.high))
    if rng.random() < 0.5:
        fwhm_mm *= np.where(np.arange(3) == rng.integers(3), 1.0, 0.5)
    sigma = fwhm_mm / _FWHM_PER_SIGMA / clean.grid.spacing_mm[0]
    blurred = ndimage.gaussian_filter(clean.data, sigma, truncate=3)
    return clean.with_data(np.where(clean.data > 0, np.clip(blurred, 0, 1), 0)), sigma
