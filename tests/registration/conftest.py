"""A head of known pose: the template at 4 mm, moved by a known rigid motion onto an LPS scanner grid."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.config import RegistrationConfig
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume


class MovedHead(NamedTuple):
    """A native scan and the transform that registration must find."""

    volume: Volume
    moving2fixed: np.ndarray


def rigid(angles_deg: tuple, translation_mm: tuple) -> np.ndarray:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    transform[:3, 3] = translation_mm
    return transform


def scan_head(moving2fixed: np.ndarray) -> MovedHead:
    """Scan the template, with another brightness, in another pose on a grid of LPS voxels."""
    template = load_template(standard_grid(4))
    head = template.with_data(400 * template.data)
    lps = np.diag([-4.0, -4.0, 4.0, 1.0])
    middle = np.linalg.inv(moving2fixed) @ [0, -18, 8, 1]
    lps[:3, 3] = middle[:3] - lps[:3, :3] @ [27, 31, 27]
    return MovedHead(resample(head, Grid((55, 63, 55), lps), np.linalg.inv(moving2fixed)), moving2fixed)


@pytest.fixture(scope="session")
def moved_head() -> MovedHead:
    return scan_head(rigid((8, -6, 10), (5, -7, 4)))


@pytest.fixture(scope="session")
def far_head() -> MovedHead:
    """A head tilted further than a tool's own search follows."""
    return scan_head(rigid((-20, 15, 30), (40, 0, -60)))


@pytest.fixture(scope="session")
def config() -> RegistrationConfig:
    return RegistrationConfig(backend="ants", estimate_spacing_mm=4, min_similarity=0.5)


@pytest.fixture
def assert_close():
    """Return a check that two transforms differ by less than 0.5 mm anywhere in the brain and 0.5 degrees."""

    def check(found: np.ndarray, true: np.ndarray) -> None:
        corners = np.array([[x, y, z, 1] for x in (-70, 70) for y in (-105, 70) for z in (-65, 80)]).T
        assert np.linalg.norm(((found - true) @ corners)[:3], axis=0).max() < 0.5
        angle = Rotation.from_matrix(found[:3, :3] @ true[:3, :3].T).magnitude()
        assert np.degrees(angle) < 0.5
        np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-5)

    return check
