"""A head without symmetry, and ranges of the three effects."""

import numpy as np
import pytest

from bmenet.config import BiasConfig, MotionConfig, NoiseConfig, Severity
from bmenet.config.degradation import OnlineConfig, VarietyConfig
from bmenet.config.profiles import load_profile
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.volume import Volume


def severity(rotation=3.0, translation=3.0, sigma=0.05, ratio=0.5) -> Severity:
    return Severity(
        motion=MotionConfig(
            max_rotation_deg=rotation, max_translation_mm=translation, moves=[2, 4], protected_centre_fraction=0.04
        ),
        noise=NoiseConfig(sigma=[sigma, sigma]),
        bias=BiasConfig(ratio=[ratio, ratio], order=3),
    )


@pytest.fixture(scope="session")
def head() -> Volume:
    """An ellipsoid with an off-centre hole: no symmetry hides a wrong sign or axis."""
    grid = standard_grid(4)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in grid.shape], indexing="ij")
    data = np.clip(4 * (0.7 - np.sqrt(x**2 + y**2 + z**2)), 0, 0.9)
    data[(x - 0.2) ** 2 + (y - 0.3) ** 2 + (z + 0.1) ** 2 < 0.02] = 0.2
    return Volume(data.astype(np.float32), grid.affine)


@pytest.fixture(scope="session")
def online() -> OnlineConfig:
    """How `full` draws its fresh cases."""
    return load_profile("full").coarse.online


@pytest.fixture(scope="session")
def variety(online: OnlineConfig) -> VarietyConfig:
    return online.variety
