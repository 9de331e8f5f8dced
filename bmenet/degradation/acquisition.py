"""Other scanners and their artefacts, beyond the degradation model.

Contrast curves and resolutions are the same for the clean volume and its degraded twin; the ghosts of a periodic
change, and noise that is neither white nor even, are in the twin alone.
"""

import numpy as np
from scipy import fft, ndimage
from scipy.interpolate import PchipInterpolator

from bmenet.config.degradation import ContrastConfig, GhostingConfig, ResolutionConfig
from bmenet.degradation.anatomy import smooth_map
from bmenet.imaging.volume import Volume

_KNOTS = np.linspace(0, 1, 6)
_FWHM_PER_SIGMA = 2.355
_TABLE = np.linspace(0, 1, 1025)

_UNTOUCHED_CENTRE = 0.02
"""Fraction of the lines on either side of the centre of k-space that keep their weight, and so the brightness."""


def recontrast(clean: Volume, config: ContrastConfig, rng: np.random.Generator) -> Volume:
    """Send unit intensities through a random rising curve from 0 to 1: a power, bent at some knots."""
    gamma = np.exp(rng.uniform(np.log(config.gamma.low), np.log(config.gamma.high)))
    steps = np.diff(_KNOTS**gamma) * np.exp(config.bend * rng.standard_normal(_KNOTS.size - 1))
    curve = PchipInterpolator(_KNOTS, np.concatenate([[0], np.cumsum(steps)]) / steps.sum())(_TABLE)
    return clean.with_data(np.interp(clean.data, _TABLE, curve))


def lower_resolution(clean: Volume, config: ResolutionConfig, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
    """Blur as larger voxels do: alike along all axes, or thicker along one; zero where `clean` is.

    Returns the sigma of the Gaussian along x, y, z, in voxels, too.
    """
    fwhm_mm = np.full(3, rng.uniform(config.fwhm_mm.low, config.fwhm_mm.high))
    if rng.random() < 0.5:
        fwhm_mm *= np.where(np.arange(3) == rng.integers(3), 1.0, 0.5)
    sigma = fwhm_mm / _FWHM_PER_SIGMA / clean.grid.spacing_mm[0]
    blurred = ndimage.gaussian_filter(clean.data, sigma, truncate=3)
    return clean.with_data(np.where(clean.data > 0, np.clip(blurred, 0, 1), 0)), sigma


def ghost(image: np.ndarray, axis: int, config: GhostingConfig, rng: np.random.Generator) -> np.ndarray:
    """Weaken and strengthen k-space from line to line in a period: copies of the head appear along the axis.

    Breathing and pulsation do it, and so does a scanner that loses every n-th line. Of an image (X, Y, Z), real or
    complex; complex64 comes out.
    """
    extent = image.shape[axis]
    lines = fft.fftfreq(extent, 1 / extent)
    amplitude = rng.uniform(config.amplitude.low, config.amplitude.high)
    period = rng.uniform(config.period_lines.low, config.period_lines.high)
    phase = 2 * np.pi * (lines / period + rng.random())
    if rng.random() < 0.5:
        weight = 1 + amplitude * np.exp(1j * rng.uniform(0, 2 * np.pi)) * np.cos(phase)
    else:
        weight = 1 - amplitude * (np.cos(phase) > np.cos(np.pi / period)) + 0j
    weight[np.abs(lines) <= _UNTOUCHED_CENTRE * extent] = 1
    view = [1, 1, 1]
    view[axis] = -1
    spectrum = fft.fft(image.astype(np.complex64), axis=axis, overwrite_x=True)
    return fft.ifft(spectrum * weight.astype(np.complex64).reshape(view), axis=axis, overwrite_x=True)


def uneven_noise(
    shape: tuple[int, ...], sigma: float, blur: np.ndarray, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """Return complex noise, complex64, that is stronger in some places, as parallel imaging makes it, and has a grain.

    `sigma`, of the unit scale, is that of either channel over the volume; the local one lies within a factor
    ``1 + spread`` of it. `blur` is the standard deviation of the grain along each axis, (3,), in voxels: resampling
    leaves neighbours alike.
    """
    noise = np.empty(shape, np.complex64)
    for channel in (noise.real, noise.imag):
        white = rng.standard_normal(shape, dtype=np.float32)
        channel[:] = ndimage.gaussian_filter(white, blur, truncate=3) if blur.any() else white
    scale = np.float32(sigma / max(float(noise.real[::4, ::4, ::4].std()), 1e-6))
    if spread:
        scale = scale * np.exp(smooth_map(shape, -np.log1p(spread), np.log1p(spread), min(shape) / 3, rng))
    return noise * scale
