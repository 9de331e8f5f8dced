"""Make the planes of a volume agree on how bright every slice is, and the whole as bright as it came in.

A network that sees a few slices can tell how the coil's field runs along a slice, but hardly how bright the slice as a
whole should be: nothing in it says what the slices far away look like. Slices of another plane cross all of them,
and do. So every slice gets a gain, and the gains are those with which the planes agree best; only that of the whole
volume cannot be told, and is none: a global gain is no inhomogeneity.
"""

from collections.abc import Sequence

import numpy as np

_TISSUE = 0.25
"""Unit intensity above which all planes must lie for a voxel to count: the logarithm of darker ones is noise."""

_RIDGE_MM3 = 200.0
"""A slice with this much tissue keeps half of the gain that it asks for."""


def agree(planes: Sequence[np.ndarray], normals: Sequence[int], spacing_mm: float) -> np.ndarray:
    """Return the mean over planes after every slice got the gain with which the planes agree best.

    With `u_p` the logarithm of plane `p`'s volume and `e_p` one number a slice of it, least squares of
    ``u_p - e_p - mean over planes of (u - e)`` over the tissue. `planes` are the volume, (X, Y, Z), as restored in each
    plane, unit intensities; `normals` the axis that is normal to each.
    """
    tissue = np.minimum.reduce(planes) > _TISSUE
    if len(planes) == 1 or not tissue.any():
        return np.asarray(sum(planes) / np.float32(len(planes)), dtype=np.float32)
    logs = [np.log(plane, where=tissue, out=np.zeros_like(plane)) for plane in planes]
    gains = _solve(logs, tissue, normals, _RIDGE_MM3 / spacing_mm**3)
    total = np.zeros_like(planes[0])
    for plane, normal, gain in zip(planes, normals, gains, strict=True):
        total += plane * np.expand_dims(np.exp(-gain), _others(normal))
    return total / np.float32(len(planes))


def keep_brightness(restored: np.ndarray, degraded: np.ndarray) -> np.ndarray:
    """Return a restored volume, in unit intensities, with its tissue as bright on the mean as in the degraded one."""
    tissue = restored > _TISSUE
    if not tissue.any():
        return restored
    gain = degraded[tissue].mean(dtype=np.float64) / restored[tissue].mean(dtype=np.float64)
    return restored * np.float32(gain)


def _solve(logs: list[np.ndarray], tissue: np.ndarray, normals: Sequence[int], ridge: float) -> list[np.ndarray]:
    """Return the logarithm of every slice's surplus brightness, one array a plane: the normal equations, solved."""
    count = len(logs)
    mean = sum(logs) / np.float32(count)
    ends = np.cumsum([0, *(tissue.shape[normal] for normal in normals)])
    matrix, right = np.zeros((ends[-1], ends[-1])), np.zeros(ends[-1])
    for p, normal in enumerate(normals):
        rows = slice(ends[p], ends[p + 1])
        right[rows] = (logs[p] - mean).sum(axis=_others(normal), dtype=np.float64)
        for q, other in enumerate(normals):
            crossing = tissue.sum(axis=tuple({0, 1, 2} - {normal, other}), dtype=np.float64)
            if p == q:
                block = np.diag(crossing) * (1 - 1 / count) + ridge * np.eye(crossing.size)
            else:
                block = -(crossing if normal < other else crossing.T) / count
            matrix[rows, ends[q] : ends[q + 1]] = block
    solution = np.linalg.solve(matrix, right).astype(np.float32)
    return [solution[ends[p] : ends[p + 1]] for p in range(count)]


def _others(normal: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(3) if axis != normal)
