"""Bring back fine detail that a network smoothed away with the noise: from the scan itself, denoised in 3D.

A network that sees slices smooths what is as fine as noise. Non-local means over all three axes keeps more of it, but
knows no coil field and no motion. So the field is taken from the network, the detail from both:

    result = (1 - share) r + share f n,    n = NLM(y),    f = smooth part of r / n

with `y` the degraded scan and `r` the network's result. Where there is no noise, the share is 0 and `r` stays.
"""

from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

_SHARE = 0.6
_QUIET, _NOISY = 0.011, 0.018
"""Standard deviation of the noise, of the unit scale, up to which the share is 0, and from which on it is all; clean
scans of ds002748 have 0.006 to 0.011."""

_DECAY = 2.0
"""Of a weight, with the squared distance of two patches in variances of the noise."""

_FIELD_MM = 6.0
_FINEST_MM = 1.5
"""On a coarser grid folds of the cortex are as fine as noise."""

_MARGIN_VOXELS = 2


def bring_back_detail(restored: np.ndarray, degraded: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return a restored volume with the detail of its degraded scan.

    Parameters
    ----------
    restored, degraded : ndarray, shape (X, Y, Z), float32
        Unit intensities; `restored` is zero in the background of the brain.
    spacing_mm : float

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        Non-negative, zero where `restored` is.
    """
    inside = restored > 0
    if spacing_mm > _FINEST_MM or not inside.any():
        return restored
    sigma = noise_sigma(degraded, inside)
    share = _SHARE * float(np.clip((sigma - _QUIET) / (_NOISY - _QUIET), 0, 1))
    if share == 0:
        return restored
    box = _box(inside)
    smooth, brain = restored[box], inside[box]
    detailed = non_local_means(degraded[box], sigma)
    result = restored.copy()
    field = _field(smooth, detailed, brain, _FIELD_MM / spacing_mm)
    result[box] = np.where(brain, (1 - share) * smooth + share * np.maximum(field * detailed, 0), 0)
    return result


def noise_sigma(data: np.ndarray, inside: np.ndarray) -> float:
    """Return the standard deviation of white noise, from the median of the finest diagonal Haar wavelet.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
    inside : ndarray of bool, shape (X, Y, Z)
        Where there is signal, so that Rician noise is nearly Gaussian.

    References
    ----------
    Coupe et al. (2010), Med Image Anal 14(4):483-493, doi:10.1016/j.media.2010.03.001.
    """
    even = tuple(slice(0, extent // 2 * 2) for extent in data.shape)
    blocks = [np.s_[x::2, y::2, z::2] for x, y, z in product((0, 1), repeat=3)]
    signs = [(-1) ** sum(corner) for corner in product((0, 1), repeat=3)]
    whole = np.logical_and.reduce([inside[even][block] for block in blocks])
    if not whole.any():
        return 0.0
    detail = sum(sign * data[even][block][whole] for sign, block in zip(signs, blocks, strict=True))
    return float(np.median(np.abs(detail)) / np.sqrt(8) / 0.6745)


@torch.inference_mode()
def non_local_means(data: np.ndarray, sigma: float) -> np.ndarray:
    """Return the mean of every voxel and its 26 neighbours, weighted by how alike the patches of 3^3 around them are.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z), float32
    sigma : float
        Standard deviation of the noise.

    References
    ----------
    Buades et al. (2005), CVPR, doi:10.1109/CVPR.2005.38; in 3D Coupe et al. (2008), IEEE Trans Med Imaging
    27(4):425-441, doi:10.1109/TMI.2007.906087.
    """
    volume = torch.from_numpy(np.ascontiguousarray(data))
    total, weights = volume.clone(), torch.ones_like(volume)
    for shift in product((-1, 0, 1), repeat=3):
        if shift <= (0, 0, 0):
            continue  # each pair of voxels once
        here, there = _overlap(shift), _overlap(tuple(-step for step in shift))
        weight = _likeness(volume[here], volume[there], sigma)
        total[here] += weight * volume[there]
        total[there] += weight * volume[here]
        weights[here] += weight
        weights[there] += weight
    return (total / weights).numpy()


def _likeness(one: Tensor, other: Tensor, sigma: float) -> Tensor:
    """Return the weight of each pair of patches; noise alone makes them differ by 2 sigma^2."""
    distance = functional.avg_pool3d((one - other).square()[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    return torch.exp(-(distance - 2 * sigma**2).clamp_min(0) / (_DECAY * sigma**2))


def _overlap(shift: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the part of a volume that has a neighbour at `shift`."""
    return tuple(slice(max(-step, 0), None if step <= 0 else -step) for step in shift)


def _field(smooth: np.ndarray, detailed: np.ndarray, brain: np.ndarray, width_voxels: float) -> np.ndarray:
    """Return what to multiply `detailed` with to be as bright as `smooth`, by least squares in a Gaussian window."""
    above = ndimage.gaussian_filter(np.where(brain, smooth * detailed, 0), width_voxels)
    below = ndimage.gaussian_filter(np.where(brain, detailed**2, 0), width_voxels)
    return above / np.maximum(below, np.finfo(np.float32).tiny)


def _box(inside: np.ndarray) -> tuple[slice, ...]:
    """Return where the brain is, with room for patches."""
    found = ndimage.find_objects(inside.astype(np.uint8))[0]
    return tuple(slice(max(span.start - _MARGIN_VOXELS, 0), span.stop + _MARGIN_VOXELS) for span in found)
