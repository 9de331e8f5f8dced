"""Rigid motion by other people's models: few poses over all of k-space, and a head that never holds still."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bmenet.imaging.brain import bounding_box
from bmenet.imaging.volume import Volume

_SPLINE_MARGIN_VOXELS = 8
"""Room around the head in which the coefficients of its cubic spline decay."""


@dataclass(frozen=True)
class Motion:
    """The poses of a head while k-space is acquired, plane by plane along one axis.

    Parameters
    ----------
    axis : int
        Of the array, along which k-space is filled from one end to the other.
    edges : tuple of float, (poses + 1,)
        Where each pose begins and ends, as a fraction of k-space: 0 to 1, the centre at 0.5.
    rotations_deg, translations_mm : ndarray, shape (poses, 3)
        About and along x, y, z in RAS+ mm.
    """

    axis: int
    edges: tuple[float, ...]
    rotations_deg: np.ndarray
    translations_mm: np.ndarray


def draw_few_poses(
    moves: int, max_rotation_deg: float, max_translation_mm: float, generator: np.random.Generator
) -> Motion:
    """Draw a few sudden moves at any time, as TorchIO's RandomMotion does.

    The moments lie at even distances, each shifted by up to half of one; no part of k-space is spared, so a move may
    fall right beside its centre. The pose that holds the centre is the target.

    References
    ----------
    Shaw et al. (2019), MRI k-space motion artefact augmentation, PMLR 102:427-436.
    Perez-Garcia et al. (2021), TorchIO, Comput Methods Programs Biomed 208, doi:10.1016/j.cmpb.2021.106236.
    """
    step = 1 / (moves + 1)
    moments = step * np.arange(1, moves + 1) + generator.uniform(-step / 2, step / 2, moves)
    edges = (0.0, *map(float, moments), 1.0)
    rotations = generator.uniform(-max_rotation_deg, max_rotation_deg, (moves + 1, 3))
    translations = generator.uniform(-max_translation_mm, max_translation_mm, (moves + 1, 3))
    return _seen_from_centre(int(generator.integers(3)), edges, rotations, translations)


def draw_random_walk(poses: int, spread_deg: float, spread_mm: float, generator: np.random.Generator) -> Motion:
    """Draw a head that drifts and trembles: a slow drift and many small steps, the centre of k-space included.

    Parameters
    ----------
    poses : int
        Over the acquisition, at even distances.
    spread_deg, spread_mm : float
        Standard deviation, about and along each axis, of where a walk from one end of k-space to the other ends.
    """
    walks = generator.standard_normal((poses, 6)).cumsum(axis=0) / np.sqrt(poses)
    drift = np.linspace(-0.5, 0.5, poses)[:, None] * generator.standard_normal(6)
    path = (walks + drift) / np.sqrt(2)
    edges = tuple(np.linspace(0, 1, poses + 1).tolist())
    return _seen_from_centre(int(generator.integers(3)), edges, spread_deg * path[:, :3], spread_mm * path[:, 3:])


def acquire(head: Volume, motion: Motion, coil: np.ndarray | float = 1.0) -> np.ndarray:
    """Fill k-space while the head moves under a coil that stays; return the complex image.

    Parameters
    ----------
    head : Volume
        In the target pose.
    motion : Motion
    coil : ndarray, shape (X, Y, Z), or 1.0

    Returns
    -------
    ndarray, shape (X, Y, Z), complex64
    """
    extent = head.data.shape[motion.axis]
    bounds = np.rint(np.asarray(motion.edges) * extent).astype(int)
    order = fft.fftshift(np.arange(extent))  # from the lowest frequency to the highest
    reached = _reached(head, motion)
    spline, corner = _spline(head.data)
    weight = np.broadcast_to(np.float32(coil), head.data.shape)[reached]
    spectrum = np.zeros(weight.shape, np.complex64)
    for (first, end), rotation, translation in zip(
        pairwise(bounds), motion.rotations_deg, motion.translations_mm, strict=True
    ):
        is_still = not rotation.any() and not translation.any()
        seen = head.data[reached] if is_still else _moved(spline, corner, head, reached, rotation, translation)
        planes = (*[slice(None)] * motion.axis, order[first:end])
        spectrum[planes] = fft.fft((weight * seen).astype(np.complex64), axis=motion.axis)[planes]
    image = np.zeros(head.data.shape, np.complex64)
    image[reached] = fft.ifft(spectrum, axis=motion.axis, overwrite_x=True)
    return image


def _seen_from_centre(
    axis: int, edges: tuple[float, ...], rotations_deg: np.ndarray, translations_mm: np.ndarray
) -> Motion:
    """Count all poses from the one at the centre of k-space: it decides where the head comes to lie."""
    centre = int(np.searchsorted(edges, 0.5, side="right")) - 1
    return Motion(axis, edges, rotations_deg - rotations_deg[centre], translations_mm - translations_mm[centre])


def _reached(head: Volume, motion: Motion) -> tuple[slice, ...]:
    """Return the part of the grid that the head may touch, whole along the axis of its ghosts."""
    widths = np.asarray(head.grid.spacing_mm)
    radius_mm = np.linalg.norm(widths * head.data.shape) / 2
    turned_mm = radius_mm * 2 * np.sin(np.deg2rad(np.linalg.norm(motion.rotations_deg, axis=1).max()) / 2)
    margin = np.ceil((turned_mm + np.linalg.norm(motion.translations_mm, axis=1).max()) / widths).astype(int)
    box = list(bounding_box(head.data > 0, margin))
    box[motion.axis] = slice(0, head.data.shape[motion.axis])
    return tuple(box)


def _spline(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the spline coefficients of the box that holds the head, and its corner."""
    box = bounding_box(data > 0, _SPLINE_MARGIN_VOXELS)
    corner = np.array([span.start for span in box], dtype=float)
    return ndimage.spline_filter(data[box], order=3, output=np.float32), corner


def _moved(
    spline: np.ndarray,
    corner: np.ndarray,
    head: Volume,
    reached: tuple[slice, ...],
    rotation_deg: np.ndarray,
    translation_mm: np.ndarray,
) -> np.ndarray:
    """Return the head turned about the centre of the grid, then shifted; cubic interpolation, zero outside."""
    axes = head.affine[:3, :3]
    back = Rotation.from_euler("xyz", rotation_deg, degrees=True).inv().as_matrix()
    pull = np.linalg.inv(axes) @ back @ axes
    centre = (np.array(head.data.shape) - 1) / 2
    offset = centre - pull @ centre - np.linalg.inv(axes) @ back @ translation_mm - corner
    offset += pull @ [span.start for span in reached]
    shape = tuple(span.stop - span.start for span in reached)
    moved = ndimage.affine_transform(
        spline, pull, offset, output_shape=shape, order=3, prefilter=False, output=np.float32
    )
    return np.maximum(moved, 0, out=moved)
