"""What is brighter than anything the networks were trained on, such as tissue that a contrast agent has reached.

They darken it: rings and balls of 2 (1.6) times the brightness of white matter came out 15 to 17 (3 to 4) per cent too
dark, those of 1.3 times as they were. So there the scan stays, but for its field.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from bmenet.imaging.volume import Volume
from bmenet.restoration.detail import smooth_ratio

_WHITE_PERCENTILE = 90
"""Of the restored brain: white matter."""

_BRIGHT, _TOO_BRIGHT = 1.35, 1.55
"""Of white matter: up to which the networks are trusted, and from which on nothing of theirs is left."""

_WIDTH_MM = 1.0
_FEWEST_ML = 0.05
_TRUSTED_FROM_MM = 3.0


class Kept(NamedTuple):
    """A restored volume in which what is too bright is the scan's, and how much that is."""

    restored: Volume
    litres: float


def keep_what_is_too_bright(restored: Volume, scan: Volume, brain_mask: np.ndarray) -> Kept:
    """Return a restored volume with the scan, its field taken out, where the brain is brighter than in any training.

    Noise alone does not count, for brightness is averaged over 1 mm first, and less than 0.05 ml is left to the
    networks. The field is the smooth ratio of both volumes where they are not too bright.

    Parameters
    ----------
    restored, scan : Volume
        On one standard grid and in one intensity scale, without negative values.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    """
    spacing_mm = restored.grid.spacing_mm[0]
    white = float(np.percentile(restored.data[brain_mask], _WHITE_PERCENTILE)) if brain_mask.any() else 0.0
    if not white > 0:
        return Kept(restored, 0.0)
    tissue = restored.data > 0
    excess = _excess(scan.data, _ratio(scan, restored, tissue), brain_mask, white, spacing_mm)
    if not _is_enough(excess, spacing_mm):
        return Kept(restored, 0.0)
    reach = max(round(_TRUSTED_FROM_MM / spacing_mm), 1)
    field = _ratio(scan, restored, tissue & ~ndimage.binary_dilation(excess > 0, iterations=reach))
    excess = _excess(scan.data, field, brain_mask, white, spacing_mm)
    kept = restored.data + excess * (scan.data / field - restored.data)
    return Kept(restored.with_data(kept), float(excess.sum()) * spacing_mm**3 / 1e6)


def _ratio(scan: Volume, restored: Volume, trusted: np.ndarray) -> np.ndarray:
    """Return the smooth part of ``scan / restored``; its median where nothing that is trusted is near."""
    ratio = smooth_ratio(scan.data, restored.data, trusted, scan.grid.spacing_mm[0])
    usual = float(np.median(ratio[trusted])) if trusted.any() else 1.0
    return np.where(ratio > 0, ratio, np.float32(usual or 1))


def _excess(data: np.ndarray, field: np.ndarray, brain_mask: np.ndarray, white: float, spacing_mm: float) -> np.ndarray:
    """Return how far a brain is out of range, from 0 to 1, float32."""
    brightness = ndimage.gaussian_filter(data / field, _WIDTH_MM / spacing_mm) / white
    return np.where(brain_mask, np.clip((brightness - _BRIGHT) / (_TOO_BRIGHT - _BRIGHT), 0, 1), 0).astype(np.float32)


def _is_enough(excess: np.ndarray, spacing_mm: float) -> bool:
    """Tell whether it is more than single voxels."""
    return float(excess.sum()) * spacing_mm**3 / 1e3 >= _FEWEST_ML
