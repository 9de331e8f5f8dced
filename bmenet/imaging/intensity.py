"""Intensity scales: a clean volume to [0, 1], and a blind brightness estimate for a degraded one."""

import numpy as np

from bmenet.imaging.blocks import block_means
from bmenet.runtime.errors import VolumeError

CANONICAL_BRIGHTNESS = 0.6
"""Mean of the bright blocks after division by `blind_scale`: what clean volumes have when normalised."""

_BLOCK_MM = 4.0
_BRIGHT_FRACTION = 0.3


def normalise(data: np.ndarray, percentile: float) -> tuple[np.ndarray, float]:
    """Scale a clean volume, whose background is zero, to [0, 1]: divide by a high percentile of the foreground, clip.

    Returns
    -------
    unit_data : ndarray, shape (X, Y, Z), float32
        In [0, 1].
    scale : float
        ``unit_data * scale`` restores the intensities that were not clipped.

    Raises
    ------
    VolumeError
        If no voxel is brighter than the background.
    """
    ceiling = np.percentile(data, 99.9)
    foreground = data[data > 0.05 * ceiling] if ceiling > 0 else data[:0]
    if not foreground.size:
        raise VolumeError("expected a volume with bright tissue; got one without a foreground (all zero or negative)")
    scale = float(np.percentile(foreground, percentile))
    return np.clip(data / np.float32(scale), 0, 1).astype(np.float32), scale


def blind_scale(data: np.ndarray, spacing_mm: float) -> float:
    """Estimate the brightness of a volume from itself alone, robust to noise, bias, motion and a bright scalp.

    The mean over 4 mm blocks brighter than 30 % of the blocks' 99.5th percentile: averaging within blocks removes the
    noise, the threshold keeps tissue and drops the Rayleigh floor of the background, and no single bright spot
    decides. ``data / blind_scale(data)`` has that mean at 0.6.

    Raises
    ------
    VolumeError
        If the volume has no bright block.
    """
    factor = max(1, round(_BLOCK_MM / spacing_mm))
    blocks = block_means(data, factor, np.float64)
    bright = blocks[blocks > _BRIGHT_FRACTION * np.percentile(blocks, 99.5)]
    scale = float(bright.mean()) / CANONICAL_BRIGHTNESS if bright.size else 0.0
    if not scale > 0:
        raise VolumeError("expected a volume with bright tissue; got one whose blocks are all dark")
    return scale
