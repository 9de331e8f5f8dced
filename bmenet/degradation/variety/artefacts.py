"""Artefacts that the degradation model has not: ghosts of a periodic change, noise that is neither white nor even."""

import numpy as np
from scipy import fft, ndimage

from bmenet.config.augmentation import GhostingConfig
from bmenet.degradation.variety.anatomy import smooth_map

_UNTOUCHED_CENTRE = 0.02
"""Fraction of the lines on either side of the centre of k-space that keep their weight, and so the brightness."""


def ghost(image: np.ndarray, config: GhostingConfig, rng: np.random.Generator) -> np.ndarray:
    """Weaken and strengthen k-space from line to line in a period: copies of the head appear along the axis.

    Breathing and pulsation do it, and so does a scanner that loses every n-th line.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        Real or complex.

    Returns
    -------
    ndarray, shape (X, Y, Z), complex64
    """
    axis = int(rng.integers(3))
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
    """Return complex noise that is stronger in some places, as parallel imaging makes it, and has a grain.

    Parameters
    ----------
    shape : tuple of int, (3,)
    sigma : float
        Of either channel, over the volume, of the unit scale.
    blur : ndarray, shape (3,)
        Standard deviation of the grain along each axis, in voxels: resampling leaves neighbours alike.
    spread : float
        The local sigma lies within a factor ``1 + spread`` of `sigma`.
    rng : Generator

    Returns
    -------
    ndarray, shape (X, Y, Z), complex64
    """
    noise = np.empty(shape, np.complex64)
    for channel in (noise.real, noise.imag):
        white = rng.standard_normal(shape, dtype=np.float32)
        channel[:] = ndimage.gaussian_filter(white, blur, truncate=3) if blur.any() else white
    scale = np.float32(sigma / max(float(noise.real[::4, ::4, ::4].std()), 1e-6))
    if spread:
        scale = scale * np.exp(smooth_map(shape, -np.log1p(spread), np.log1p(spread), min(shape) / 3, rng))
    return noise * scale
