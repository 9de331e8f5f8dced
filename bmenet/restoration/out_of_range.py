"""What is brighter than anything the networks were trained on, such as tissue that a contrast agent has reached.

They darken it, and take a part of it for the coil's field: rings and balls of 2 (1.6) times the brightness of white
matter came out 15 to 17 (3 to 4) per cent too dark, those of 1.3 times as they were. So it is hidden from them, by
white matter in its place, and put back afterwards, without the field.
"""

import numpy as np
from scipy import ndimage

from bmenet.imaging.blocks import block_means
from bmenet.imaging.volume import Volume
from bmenet.restoration.detail import smooth_ratio

_WHITE_PERCENTILE = 90
"""Of the restored brain: white matter."""

_BRIGHT, _TOO_BRIGHT = 1.3, 1.45
"""Of white matter: up to which the networks are trusted, and from which on nothing is left to them."""

_WIDTH_MM = 1.0
_FIELD_WIDTH_MM = 18.0
"""So wide that what is too bright hardly counts: what is looked for must not pass for a field."""

_COARSE_MM = 4
_LEAST_LITRES = 5e-5


def too_bright(restored: Volume, scan: Volume, brain_mask: np.ndarray) -> Volume | None:
    """Return how far the brain of a scan is out of range, from 0 to 1; None where less than 0.05 ml are.

    Brightness is that of the scan averaged over 1 mm, so that noise alone does not count, without the field that a
    first restoration shows, in units of white matter.

    Parameters
    ----------
    restored, scan : Volume
        On one standard grid and in one intensity scale, without negative values.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    """
    white = _white(restored, brain_mask)
    if not white > 0:
        return None
    spacing_mm = restored.grid.spacing_mm[0]
    smooth = ndimage.gaussian_filter(scan.data, _WIDTH_MM / spacing_mm)
    brightness = smooth / (_wide_field(restored, scan, brain_mask) * white)
    part = np.where(brain_mask, np.clip((brightness - _BRIGHT) / (_TOO_BRIGHT - _BRIGHT), 0, 1), 0)
    excess = restored.with_data(part.astype(np.float32))
    return excess if litres(excess) >= _LEAST_LITRES else None


def hidden(restored: Volume, scan: Volume, brain_mask: np.ndarray, excess: Volume) -> Volume:
    """Return a scan with white matter, in its field, in the place of what is too bright; arguments as `too_bright`."""
    in_range = _white(restored, brain_mask) * _wide_field(restored, scan, brain_mask)
    return scan.with_data(scan.data + excess.data * (in_range - scan.data))


def put_back(restored: Volume, shown: Volume, scan: Volume, excess: Volume) -> Volume:
    """Return a restored volume with what was hidden from it; `shown` is what it was restored from."""
    field = smooth_ratio(shown.data, restored.data, restored.data > 0, scan.grid.spacing_mm[0])
    evened = scan.data / np.where(field > 0, field, 1)
    return restored.with_data(restored.data + excess.data * (evened - restored.data))


def litres(excess: Volume) -> float:
    """Return how much is too bright."""
    return float(excess.data.sum()) * excess.grid.spacing_mm[0] ** 3 / 1e6


def _white(restored: Volume, brain_mask: np.ndarray) -> float:
    return float(np.percentile(restored.data[brain_mask], _WHITE_PERCENTILE)) if brain_mask.any() else 0.0


def _wide_field(restored: Volume, scan: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return the ratio of scan and restored brain in a Gaussian window of 18 mm, (X, Y, Z), float32."""
    factor = round(_COARSE_MM / restored.grid.spacing_mm[0])
    means = [
        ndimage.gaussian_filter(block_means(data * brain_mask, factor), _FIELD_WIDTH_MM / _COARSE_MM)
        for data in (scan.data, restored.data)
    ]
    tiny = np.finfo(np.float32).tiny
    ratio = np.where(means[1] > tiny, means[0] / np.maximum(means[1], tiny), 1)
    ratio = np.where(ratio > 0, ratio, 1).astype(np.float32)
    return ratio.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)
