"""Means over cubes of voxels: what noise averages out of."""

import numpy as np
from numpy.typing import DTypeLike


def block_means(data: np.ndarray, factor: int, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Return means over cubes of `factor` voxels, computed in `dtype`; what fills none at the end is left out."""
    x, y, z = (extent // factor for extent in data.shape)
    trimmed = data[: x * factor, : y * factor, : z * factor]
    return trimmed.reshape(x, factor, y, factor, z, factor).mean(axis=(1, 3, 5), dtype=dtype)
