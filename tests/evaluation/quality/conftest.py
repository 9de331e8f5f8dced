"""A head at 3 mm with known tissues: brain, scalp, and air around it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.volume import Volume

SIGNAL = {1: 250.0, 2: 600.0, 3: 1000.0}


@dataclass(frozen=True)
class Head:
    """A noiseless head: voxels of 3 mm, brain of 1.1 litres in the middle."""

    volume: Volume
    tissues: np.ndarray
    brain: Brain


@pytest.fixture(scope="session")
def rician() -> Callable[[Volume, float], Volume]:
    """Return a function that gives the magnitude of a volume with complex noise of a standard deviation."""

    def add_noise(volume: Volume, sigma: float) -> Volume:
        noise = np.random.default_rng(2026).normal(0, sigma, (2, *volume.data.shape))
        return volume.with_data(np.hypot(volume.data + noise[0], noise[1]))

    return add_noise


@pytest.fixture(scope="session")
def head() -> Head:
    extent = 72
    axes = 3.0 * (np.arange(extent) - (extent - 1) / 2)
    x, y, z = np.meshgrid(axes, axes, axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    tissues = np.select([radius < 15, radius < 50, radius < 60, radius < 64], [1, 3, 2, 1], 0).astype(np.uint8)
    data = np.choose(tissues, [0.0, *SIGNAL.values()])
    data[(radius > 68) & (radius < 74)] = 900.0
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = axes[0]
    return Head(Volume(data.astype(np.float32), affine), tissues, Brain(tissues > 0, False, "deepbet"))


@pytest.fixture(scope="session")
def noisy(head: Head, rician: Callable[[Volume, float], Volume]) -> Volume:
    """The head with noise of 2 % of the white matter's signal."""
    return rician(head.volume, 20)
