"""Find roughly where and how large the brain is, from any starting pose, before a registration tool refines it.

A brain is up to a fifth smaller than the MNI152 template. A rigid tool given both slides the small one about inside the
large one, and ends several millimetres and degrees away from the anatomy. So the size is estimated first, and the
tool aligns the scan with a template of the scan's own size: its transform stays rigid, and becomes well determined.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import RegistrationError

_ANGLES_DEG = {"pitch": (-45, -30, -15, 0, 15, 30, 45), "roll": (-30, -15, 0, 15, 30), "yaw": (-30, -15, 0, 15, 30)}
_FEW_ANGLES_DEG = {"pitch": (-30, 0, 30), "roll": (0,), "yaw": (0,)}
_SHRINKS_PERCENT = (0, 15)
_ALIKE = 0.62
"""Local correlation at 8 mm of the table's best pose: 0.71 and more in scans that lie as their headers say, degraded
ones too; 0.51 and less in those that lie turned."""

_KEPT = 3
_WINDOW_VOXELS = {8: 3, 4: 5}
_VARIANCE_FLOOR = 1e-4
"""Squared unit intensity: windows flatter than a standard deviation of 0.01 have nothing to compare."""


class LocalNCC:
    """Mean local normalised cross-correlation with a fixed volume inside its brain, in [-1, 1].

    In each cubic window the correlation ``cov(a, b) / sqrt(var(a) var(b))``; then the mean over the windows centred
    in the brain. A bias field or another brightness changes little within a window, and the outline of the head, which
    rules the global correlation of a skull-stripped volume, counts only where it is. Volumes have unit intensities.

    References
    ----------
    Avants et al. (2008), Symmetric diffeomorphic image registration with cross-correlation, Medical Image
    Analysis 12(1), doi:10.1016/j.media.2007.06.004.
    """

    def __init__(self, fixed_data: np.ndarray, brain_mask: np.ndarray, window_voxels: int) -> None:
        self.fixed_data = fixed_data.astype(np.float32)
        self.brain_mask = brain_mask
        self.window_voxels = window_voxels
        self.fixed_mean, self.fixed_variance = self._moments(self.fixed_data)

    def __call__(self, moved_data: np.ndarray) -> float:
        """Compare `moved_data`, shape (X, Y, Z), unit intensities on the same grid."""
        mean, variance = self._moments(moved_data)
        covariance = self._average(moved_data * self.fixed_data) - mean * self.fixed_mean
        correlation = covariance / np.sqrt(variance * self.fixed_variance)
        return float(correlation[self.brain_mask].mean())

    def _moments(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the variance of every window."""
        mean = self._average(data)
        return mean, np.maximum(self._average(data**2) - mean**2, _VARIANCE_FLOOR)

    def _average(self, data: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(data, self.window_voxels, mode="constant")


@dataclass(frozen=True)
class Start:
    """A rough alignment, rigid, (4, 4), RAS+ mm, and the scanned brain's edge length relative to the template's."""

    moving2fixed: np.ndarray
    size: float

    def fit_template(self, template: Volume) -> Volume:
        """Scale the template about its centre to the size of the scanned brain; only its affine changes."""
        return Volume(template.data, _about(centre_of_mass_mm(template), np.eye(3) * self.size) @ template.affine)


def find_start(moving: Volume) -> Start:
    """Search rotations, translations and one isotropic size for the best local correlation with the template.

    Three steps: every rotation of a coarse table at 8 mm, after aligning the centres of mass; the best few refined at
    8 mm; the best of those refined at 4 mm (Powell's method). Where even the best resembles the template little, the
    head may lie turned, or a header say so: then quarter turns about all axes come before the table. Deterministic.
    `moving` has unit intensities, in any orientation; RegistrationError if it is empty.
    """
    if not moving.data.max() > 0:
        raise RegistrationError("expected a scan with bright tissue; got one without any positive voxel")
    coarse = _Search(moving, 8)
    best = sorted(_poses(_ANGLES_DEG), key=coarse.cost)[:_KEPT]
    turn = np.eye(4)
    if coarse.cost(best[0]) > -_ALIKE:
        turn = min(_quarter_turns(), key=lambda turned: _Search(moving, 8, turned).least_cost(_FEW_ANGLES_DEG))
        turned = _Search(moving, 8, turn)
        other = sorted(_poses(_ANGLES_DEG), key=turned.cost)[:_KEPT]
        if turned.cost(other[0]) < coarse.cost(best[0]):
            coarse, best = turned, other
        else:
            turn = np.eye(4)
    refined = min((coarse.refine(pose, step=8) for pose in best), key=coarse.cost)
    fine = _Search(moving, 4, turn)
    start = fine.to_start(fine.refine(refined, step=3))
    return Start(start.moving2fixed @ turn, start.size)


def _poses(angles_deg: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    """Return every pose of a table, for small and for large brains."""
    table = product(*angles_deg.values(), _SHRINKS_PERCENT)
    return [np.array([*angles, 0.0, 0.0, 0.0, shrink]) for *angles, shrink in table]


def _quarter_turns() -> list[np.ndarray]:
    """Return the rotations of a cube but for none at all, (4, 4)."""
    turns = []
    for rotation in Rotation.create_group("O").as_matrix():
        turn = np.eye(4)
        turn[:3, :3] = np.rint(rotation)
        turns.append(turn)
    return [turn for turn in turns if not np.array_equal(turn, np.eye(4))]


class _Search:
    """The template and the scan at one spacing, and the cost of a pose.

    A pose is (pitch, roll, yaw) in degrees, a translation in mm, and the percentage (logarithmic) by which the template
    is larger than the scanned brain; it acts about the template's centre, after the centres of mass are aligned.
    """

    def __init__(self, moving: Volume, spacing_mm: int, turn: np.ndarray | None = None) -> None:
        if turn is not None:
            moving = Volume(moving.data, turn @ moving.affine)
        self.fixed = load_template(coarsened(standard_grid(4), spacing_mm))  # the standard grid itself stops at 4
        self.moving = resample(moving, coarsened(moving.grid, spacing_mm), order=1)
        self.centre_mm = centre_of_mass_mm(self.fixed)
        self.centring = np.eye(4)
        self.centring[:3, 3] = self.centre_mm - centre_of_mass_mm(self.moving)
        brain_mask = foreground_mask(self.fixed.data)
        self.similarity = LocalNCC(self.fixed.data, brain_mask, window_voxels=_WINDOW_VOXELS[spacing_mm])

    def cost(self, pose: np.ndarray) -> float:
        """Return minus the local correlation of the posed scan with the template."""
        fixed2moving = np.linalg.inv(self._transform(pose, np.exp(pose[6] / 100)))
        index_map = np.linalg.inv(self.moving.affine) @ fixed2moving @ self.fixed.affine
        return -self.similarity(
            ndimage.affine_transform(self.moving.data, index_map, output_shape=self.fixed.data.shape, order=1)
        )

    def least_cost(self, angles_deg: dict[str, tuple[int, ...]]) -> float:
        """Return the cost of the best pose of a table."""
        return min(map(self.cost, _poses(angles_deg)))

    def refine(self, pose: np.ndarray, step: float) -> np.ndarray:
        """Improve a pose; the first moves are `step` degrees, mm and per cent long."""
        options = {"xtol": 0.1, "ftol": 1e-3, "direc": np.eye(7) * step, "maxiter": 4}
        return optimize.minimize(self.cost, pose, method="Powell", options=options).x

    def to_start(self, pose: np.ndarray) -> Start:
        """Leave the growth out of a pose: with the template shrunk about its centre, translations shrink alike."""
        growth = np.exp(pose[6] / 100)
        rigid = pose.copy()
        rigid[3:6] /= growth
        return Start(self._transform(rigid, growth=1.0), float(1 / growth))

    def _transform(self, pose: np.ndarray, growth: float) -> np.ndarray:
        rotation = Rotation.from_euler("xyz", pose[:3], degrees=True).as_matrix()
        return _about(self.centre_mm, growth * rotation, pose[3:6]) @ self.centring


def coarsened(grid: Grid, spacing_mm: float) -> Grid:
    """Return a grid along the same axes with voxels of at least `spacing_mm`, over the same field of view."""
    factors = np.maximum(spacing_mm / np.asarray(grid.spacing_mm), 1.0)
    x, y, z = (int(np.ceil(extent / factor)) for extent, factor in zip(grid.shape, factors, strict=True))
    coarsen = np.diag([*factors, 1.0])
    coarsen[:3, 3] = (factors - 1) / 2  # the outer faces of the corner voxels stay where they are
    return Grid((x, y, z), grid.affine @ coarsen)


def centre_of_mass_mm(volume: Volume) -> np.ndarray:
    """Return the centre of mass of the non-negative intensities, RAS+ mm, shape (3,)."""
    index = ndimage.center_of_mass(np.maximum(volume.data, 0))
    return (volume.affine @ [*index, 1.0])[:3]


def _about(centre_mm: np.ndarray, linear: np.ndarray, translation_mm: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the affine map ``linear (p - centre) + centre + translation``."""
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = centre_mm - linear @ centre_mm + translation_mm
    return affine
