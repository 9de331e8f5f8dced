"""Noise that is not the same everywhere, and noise that neighbouring voxels share."""

import numpy as np
from scipy import ndimage


def draw_g_factor(shape: tuple[int, ...], peak: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a map of noise amplification by parallel imaging, from 1 at the rim to about `peak` in the middle.

    The unfolding of an accelerated scan is worst conditioned far from all coils, and ripples along the undersampled
    axis. Returns an array of `shape`, float32.

    References
    ----------
    Pruessmann et al. (1999), SENSE, Magn Reson Med 42(5):952-962.
    """
    axis, ripples = int(generator.integers(3)), generator.uniform(1.5, 3)
    middle = generator.uniform(-0.2, 0.2, 3)
    places = np.meshgrid(*(np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape), indexing="ij")
    distance = sum((place - shift) ** 2 for place, shift in zip(places, middle, strict=True))
    ripple = 0.8 + 0.2 * np.cos(np.pi * ripples * (places[axis] - middle[axis]))
    return (1 + (peak - 1) * np.exp(-distance / 0.35) * ripple).astype(np.float32)


def add_noise(image: np.ndarray, sigma: np.ndarray | float, generator: np.random.Generator) -> np.ndarray:
    """Add complex Gaussian noise to an image, real or complex; its magnitude is then Rician.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
    sigma : float or ndarray, shape (X, Y, Z)
        Standard deviation of either channel.
    generator : numpy.random.Generator
    """
    return image + np.float32(1) * sigma * _white(image.shape, generator)


def add_correlated_noise(image: np.ndarray, sigma: float, factor: float, generator: np.random.Generator) -> np.ndarray:
    """Add complex noise that was made on voxels `factor` times as wide and interpolated, as scanners' consoles do."""
    coarse = tuple(int(np.ceil(extent / factor)) + 1 for extent in image.shape)
    white = _white(coarse, generator)
    step = np.eye(3) / factor
    parts = [
        ndimage.affine_transform(part, step, output_shape=image.shape, order=3, mode="mirror")
        for part in (white.real, white.imag)
    ]
    noise = parts[0] + 1j * parts[1]
    return image + np.float32(sigma * np.sqrt(2)) / noise.std() * noise


def _white(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Draw white complex noise with a standard deviation of 1 in either channel."""
    noise = np.empty(shape, np.complex64)
    noise.real = generator.standard_normal(shape, dtype=np.float32)
    noise.imag = generator.standard_normal(shape, dtype=np.float32)
    return noise
