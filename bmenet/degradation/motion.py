"""Rigid head motion during the acquisition: each phase-encode line sees the head in the pose of its moment.

With poses ``s``, their lines ``L_s`` and the moved, coil-weighted volumes ``v_s``, the acquired k-space holds
``(F v_s)(k)`` for ``k in L_s``, where ``F`` is the Fourier transform along the phase-encode axis: the other axes are
sampled in full for every line, so their transforms cancel. The pose at the centre of k-space is the target frame
``v_0``; by linearity the image is

    v_0 + F^H sum_s P_s F (v_s - v_0),

which leaves a head that does not move exactly as it is. Model after Shaw et al. (2019), "MRI k-space motion artefact
augmentation", PMLR 102:427-436.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bmenet.config import MotionConfig
from bmenet.imaging.volume import Volume
from bmenet.runtime.threads import thread_count

Box = tuple[slice, slice, slice]
"""A part of a grid, in voxels."""

_HEAD_THRESHOLD = 1e-3
"""Spline coefficients smaller than this, of the [0, 1] scale, are background."""

_FULL = 0.5
"""Share of a grid that is no background, from which on a head goes on beyond the grid's faces."""

_SPLINE_REACH_VOXELS = 2
"""A cubic B-spline spans two voxels on either side."""


def draw(config: MotionConfig, clean: Volume, generator: np.random.Generator) -> dict:
    """Draw a phase-encode axis, the moments of the moves, and the pose after each.

    No move happens within ``protected_centre_fraction`` of the lines on either side of the centre of k-space, so the
    segment that holds the centre has the target pose.

    Returns ``phase_encode_axis`` (0, 1 or 2), and ``poses``: each with ``lines`` [first, last + 1) in acquisition order
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
    """Acquire the moving head, `clean` in the target pose, through the coil; `draw` returned the parameters.

    The coil's multiplicative field, (X, Y, Z) or 1.0, stays in the scanner's frame while the head moves. The image is
    complex64; its magnitude is what a scanner shows.
    """
    axis = parameters["phase_encode_axis"]
    head = Head.of(clean)
    box = _reached_box(head, parameters["poses"], axis)
    still, weight = clean.data[box], np.broadcast_to(np.float32(coil), clean.data.shape)[box]
    spectrum = np.zeros(still.shape, np.complex64)

    def acquire(pose: dict) -> None:
        change = fft.fft(weight * (moved(head, pose, box) - still), axis=axis, overwrite_x=True)
        acquired: tuple[slice | np.ndarray, ...] = (
            *[slice(None)] * axis,
            frequencies_of(pose, still.shape[axis]),
        )
        spectrum[acquired] = change[acquired]

    # SciPy lets other threads run while it interpolates; every pose fills lines of its own, so their order is free.
    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(acquire, parameters["poses"]))
    image = (coil * clean.data).astype(np.complex64)
    image[box] += fft.ifft(spectrum, axis=axis, overwrite_x=True)
    return image


def frequencies_of(pose: dict, count: int) -> np.ndarray:
    """Return which of `count` frequencies, in the order of `fft`, a pose was acquired in: from the lowest upwards."""
    return fft.fftshift(np.arange(count))[slice(*pose["lines"])]


@dataclass(frozen=True)
class Head:
    """A head that can be moved: cubic B-spline coefficients in the target pose, and where they are not background.

    The affine leads from voxel index to RAS+ mm.
    """

    spline: np.ndarray
    head_mask: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, volume: Volume) -> "Head":
        """Prepare a volume for interpolation."""
        spline = ndimage.spline_filter(volume.data, order=3, output=np.float32)
        head_mask = ndimage.binary_dilation(np.abs(spline) > _HEAD_THRESHOLD, iterations=_SPLINE_REACH_VOXELS)
        return cls(spline, head_mask, volume.affine)

    @property
    def fills_grid(self) -> bool:
        """Whether most of the grid is not background, as with a whole head whose air has its noise."""
        return bool(self.head_mask.mean() > _FULL)


def moved(head: Head, pose: dict, box: Box | None = None) -> np.ndarray:
    """Return the head in another pose, turned about the centre of the grid; cubic interpolation.

    Beyond the grid a brain that stands alone is not, and a whole head goes on as it is at the face: so does a neck.

    A pose is ``rotation_deg`` about x, y, z in this order, then ``translation_mm``. `box` is the part of the grid to
    return, float32; by default all of it.
    """
    spans = box or [slice(0, extent) for extent in head.spline.shape]
    shape = tuple(span.stop - span.start for span in spans)
    pull, offset = pull_of(head.spline.shape, head.affine, pose)
    offset = pull @ [span.start for span in spans] + offset
    if head.fills_grid:
        result = ndimage.affine_transform(
            head.spline, pull, offset, shape, order=3, prefilter=False, output=np.float32, mode="nearest"
        )
        return np.maximum(result, 0, out=result)
    # Only where the head comes to lie: in three quarters of a brain's field of view nothing is left to interpolate.
    landed = ndimage.affine_transform(head.head_mask.view(np.uint8), pull, offset, output_shape=shape, order=0)
    places = np.nonzero(landed)
    origins = pull @ np.stack(places).astype(np.float64) + offset[:, None]
    result = np.zeros(shape, np.float32)
    result[places] = ndimage.map_coordinates(head.spline, origins, order=3, prefilter=False, output=np.float32)
    return np.maximum(result, 0, out=result)


def pull_of(shape: tuple[int, ...], affine: np.ndarray, pose: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and offset that lead from a voxel to where the tissue now there came from: R^-1 (p - t) in mm."""
    axes = affine[:3, :3]
    rotation = Rotation.from_euler("xyz", pose["rotation_deg"], degrees=True).as_matrix()
    centre = (np.array(shape) - 1) / 2
    pull = np.linalg.inv(axes) @ rotation.T @ axes
    offset = centre - pull @ centre - np.linalg.inv(axes) @ rotation.T @ np.asarray(pose["translation_mm"])
    if np.allclose(pull, np.eye(3), atol=1e-12) and np.allclose(offset, 0, atol=1e-9):
        return np.eye(3), np.zeros(3)
    return pull, offset


def _reached_box(head: Head, poses: list[dict], axis: int) -> Box:
    """Return the part of the grid that the head touches in any pose, whole along `axis`, where its ghosts lie."""
    shape = np.array(head.head_mask.shape)
    spans = (ndimage.find_objects(head.head_mask.view(np.uint8)) or [(slice(0, 1),) * 3])[0]
    corners = np.array(list(product(*((span.start, span.stop - 1) for span in spans))), dtype=np.float64)
    pulls = [pull_of(head.spline.shape, head.affine, pose) for pose in poses]
    corners = np.concatenate([corners, *((corners - offset) @ np.linalg.inv(pull).T for pull, offset in pulls)])
    first = np.clip(np.floor(corners.min(axis=0)) - 1, 0, shape - 1).astype(int)
    end = np.clip(np.ceil(corners.max(axis=0)) + 2, 1, shape).astype(int)
    first[axis], end[axis] = 0, shape[axis]
    return slice(first[0], end[0]), slice(first[1], end[1]), slice(first[2], end[2])
