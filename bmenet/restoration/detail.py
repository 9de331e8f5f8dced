"""Bring back fine detail that a network smoothed away with the noise: from the scan itself, denoised in 3D.

A network that sees slices smooths what is as fine as noise. Filters that look along all three axes keep more of it, but
know no coil field and no motion. So the field is taken from the network, the detail from both, in two steps:

    p = (1 - 0.6) r + 0.6 f n,    n = NLM(y)                                  a first estimate
    result = (1 - s) r + s f d,   d = (means of y led by p / f + Wiener of y led by p / f) / 2

with `y` the degraded scan, `r` the network's result and `f` the smooth part of `r / n`. The share `s` is 0.8 of a noisy
scan; where there is no noise it is 0, and `r` stays.
"""

import numpy as np
from scipy import ndimage

from bmenet.imaging.brain import bounding_box
from bmenet.restoration.denoising import guided_means, noise_sigma, non_local_means, wiener

_FIRST_SHARE, _SHARE = 0.6, 0.8
_QUIET, _NOISY = 0.011, 0.018
"""Standard deviation of the noise, of the unit scale, up to which the share is 0, and from which on it is all; clean
scans of ds002748 have 0.006 to 0.011."""

_DARKEST_FIELD = 1e-3
_FINEST_MM = 1.5
"""On a coarser grid folds of the cortex are as fine as noise."""

_MARGIN_VOXELS = 2
_FIELD_WIDTH_MM = 6.0


def bring_back_detail(restored: np.ndarray, degraded: np.ndarray, inside: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return a restored volume with the detail of its degraded scan, non-negative, as it was where `inside` is not.

    All are of the shape (X, Y, Z), float32, unit intensities; `inside` is where there is tissue.
    """
    if spacing_mm > _FINEST_MM or not inside.any():
        return restored
    sigma = noise_sigma(degraded, inside)
    share = _SHARE * float(np.clip((sigma - _QUIET) / (_NOISY - _QUIET), 0, 1))
    if not share > 0:
        return restored
    box = bounding_box(inside, _MARGIN_VOXELS)
    smooth, noisy, tissue = restored[box], degraded[box], inside[box]
    denoised = non_local_means(noisy, sigma)
    field = smooth_ratio(smooth, denoised, tissue, spacing_mm)
    estimate = (1 - _FIRST_SHARE) * smooth / np.maximum(field, _DARKEST_FIELD) + _FIRST_SHARE * denoised
    guide = np.where(tissue, estimate, 0)
    detailed = (guided_means(noisy, guide, sigma) + wiener(noisy, guide, sigma)) / 2
    result = restored.copy()
    result[box] = np.where(tissue, (1 - share) * smooth + share * np.maximum(field * detailed, 0), smooth)
    return result


def smooth_ratio(bright: np.ndarray, data: np.ndarray, brain_mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return what to multiply `data` with to be as bright as `bright`, by least squares in a Gaussian window of 6 mm.

    Both are of the shape (X, Y, Z), float32, and count where `brain_mask` is; the result is 0 far from the brain.
    """
    width = _FIELD_WIDTH_MM / spacing_mm
    above = ndimage.gaussian_filter(np.where(brain_mask, bright * data, 0), width)
    below = ndimage.gaussian_filter(np.where(brain_mask, data**2, 0), width)
    return above / np.maximum(below, np.finfo(np.float32).tiny)
