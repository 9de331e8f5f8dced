"""Thermal noise of the receiver: complex Gaussian, of which the magnitude image is Rician.

Gudbjartsson and Patz (1995), "The Rician distribution of noisy MRI data", Magn. Reson. Med. 34:910-914,
doi:10.1002/mrm.1910340618.
"""

import numpy as np

from bmenet.config import NoiseConfig
from bmenet.imaging.volume import Volume


def draw(config: NoiseConfig, clean: Volume, generator: np.random.Generator) -> dict:
    """Draw the standard deviation of each channel (of the [0, 1] scale) and the seed of the noise itself."""
    sigma = generator.uniform(config.sigma.low, config.sigma.high)
    return {"sigma": float(sigma), "seed": int(generator.integers(2**53))}


def apply(image: np.ndarray, parameters: dict) -> np.ndarray:
    """Add independent noise to the real and the imaginary channel of an image (real or complex); return complex64."""
    generator = np.random.Generator(np.random.PCG64(parameters["seed"]))
    noise = np.empty(image.shape, dtype=np.complex64)
    noise.real = generator.standard_normal(image.shape, dtype=np.float32)
    noise.imag = generator.standard_normal(image.shape, dtype=np.float32)
    return image + np.float32(parameters["sigma"]) * noise
