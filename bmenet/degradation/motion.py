"""Rigid head motion during the acquisition: each phase-encode line sees the head in the pose of its moment.

With poses ``s``, their lines ``L_s`` and the moved, coil-weighted volumes ``v_s``, the acquired k-space holds
``(F v_s)(k)`` for ``k in L_s``, where ``F`` is the Fourier transform along the phase-encode axis: the other axes are
sampled in full for every line, so their transforms cancel. The pose at the centre of k-space is the target frame
``v_0``; by linearity the image is

    v_0 + F^H sum_s P_s F (v_s - v_0),

which leaves a head that does not move exactly as it is. Model after Shaw et al. (2019), "MRI k-space motion artefact
augmentation", PMLR 102:427-436.
"""

from itertools import pairwise

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from bmenet.config import MotionConfig
from bmenet.volume import Volume

_HEAD_THRESHOLD = 1e-3
"""Spline coefficients smaller than this, of the [0, 1] scale, are background."""

_SPLINE_REACH_VOXELS = 2
"""A cubic B-spline spans two voxels on either side."""


def draw(config: MotionConfig, clean: Volume, generator: np.random.Generator) -> dict:
    """Draw a phase-encode axis, the moments of the moves, and the pose after each.

    No move happens within ``protected_centre_fraction`` of the lines on either side of the centre of k-space, so the
    segment that holds the centre has the target pose.

    Returns
    -------
    dict
        ``phase_encode_axis`` (0, 1 or 2), and ``poses``: each with ``lines`` [first, last + 1) in acquisition order
        (lowest frequency index first), ``rotation_deg`` about x, y, z and ``translation_mm`` along x, y, z (RAS+).
    """
    axis = int(generator.integers(3))
    lines = clean.data.shape[axis]
    centre, margin = lines // 2, int(np.ceil(config.protected_centre_fraction * lines))
    allowed = np.concatenate([np.arange(1, centre - margin + 1), np.arange(centre + margin + 1, lines)])
    count = min(int(generator.integers(int(config.moves.low), int(config.moves.high) + 1)), len(allowed))
    moments = np.sort(generator.choice(allowed, size=count, replace=False))
    edges = [0, *moments.tolist(), lines]
    poses = []
    for first, end in pairwise(edges):
        rotation_deg = generator.uniform(-config.max_rotation_deg, config.max_rotation_deg, 3)
        translation_mm = generator.uniform(-config.max_translation_mm, config.max_translation_mm, 3)
        if first <= centre < end:
            continue
        poses.append(
            {"lines": [first, end], "rotation_deg": rotation_deg.tolist(), "translation_mm": translation_mm.tolist()}
        )
    return {"phase_encode_axis": axis, "poses": poses}


def apply(clean: Volume, coil: np.ndarray | float, parameters: dict) -> np.ndarray:
    """Acquire the moving head through the coil.

    Parameters
    ----------
    clean : Volume
        The head in the target pose.
    coil : ndarray, shape (X, Y, Z), or 1.0
        The multiplicative field; it stays in the scanner's frame while the head moves.
    parameters : dict
        What `draw` returned.

    Returns
    -------
    ndarray, shape (X, Y, Z), complex64
        The complex image; its magnitude is what a scanner shows.
    """
    axis = parameters["phase_encode_axis"]
    lines = clean.data.shape[axis]
    spline = ndimage.spline_filter(clean.data, order=3, output=np.float32)
    # Row k of the DFT matrix is the line of frequency k - lines / 2.
    frequencies = np.arange(lines) - lines // 2
    dft = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(lines)) / lines).astype(np.complex64)
    error = np.zeros(np.moveaxis(clean.data, axis, 0).shape, dtype=np.complex64)
    for pose in parameters["poses"]:
        change = np.moveaxis(coil * (moved(spline, clean.affine, pose) - clean.data), axis, 0)
        rows = dft[slice(*pose["lines"])]
        columns = change.reshape(lines, -1)
        spectrum = (rows.real @ columns + 1j * (rows.imag @ columns)).astype(np.complex64)
        error += ((rows.conj().T @ spectrum) / np.float32(lines)).reshape(error.shape)
    return coil * clean.data + np.moveaxis(error, 0, axis)


def moved(spline: np.ndarray, affine: np.ndarray, pose: dict) -> np.ndarray:
    """Return the head in another pose, turned about the centre of the grid; cubic interpolation, zero outside.

    Parameters
    ----------
    spline : ndarray, shape (X, Y, Z)
        Cubic B-spline coefficients of the head in the target pose (`scipy.ndimage.spline_filter`).
    affine : ndarray, shape (4, 4)
        Voxel index to RAS+ mm.
    pose : dict
        ``rotation_deg`` about x, y, z in this order, then ``translation_mm``.
    """
    axes = affine[:3, :3]
    rotation = Rotation.from_euler("xyz", pose["rotation_deg"], degrees=True).as_matrix()
    centre = (np.array(spline.shape) - 1) / 2
    # Pull: the tissue now at p came from R^-1 (p - t), in mm about the centre.
    pull = np.linalg.inv(axes) @ rotation.T @ axes
    shift = np.linalg.inv(axes) @ rotation.T @ np.asarray(pose["translation_mm"])
    offset = centre - pull @ centre - shift
    if np.allclose(pull, np.eye(3), atol=1e-12) and np.allclose(offset, 0, atol=1e-9):
        pull, offset = np.eye(3), np.zeros(3)
    # Only where the head comes to lie: in three quarters of a brain's field of view nothing is left to interpolate.
    head = ndimage.binary_dilation(np.abs(spline) > _HEAD_THRESHOLD, iterations=_SPLINE_REACH_VOXELS)
    reached = np.nonzero(ndimage.affine_transform(head.view(np.uint8), pull, offset, order=0))
    origins = pull @ np.stack(reached).astype(np.float64) + offset[:, None]
    result = np.zeros(spline.shape, np.float32)
    result[reached] = ndimage.map_coordinates(spline, origins, order=3, prefilter=False, output=np.float32)
    return np.maximum(result, 0, out=result)
