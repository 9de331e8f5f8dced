"""Take Rician noise from a scan in 3D: non-local means, alone or led by an estimate of the clean scan; a Wiener filter.

All three keep what stands out of the noise and average the rest; none knows of coil fields or of motion. Scans and
guides are (X, Y, Z), float32; a guide is an estimate of the scan without noise, equally bright. `sigma` is the standard
deviation of the scan's noise, above 0.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor
from torch.nn import functional

_DECAY = 2.0
"""Of a weight of two patches of the scan, with their squared distance in variances of the noise."""

_GUIDED_DECAY = 0.98
"""Of a weight of two places of the estimate, which has less noise: of five values from 0.5 to 2 it served four
validation subjects best."""

_BLOCK, _STRIDE = 4, 2
"""Voxels an edge of the blocks that the Wiener filter takes apart, and from one block to the next."""

_DARKEST = 1.5
"""In standard deviations of the noise: below it the mean of a Rician is no longer taken for its first terms."""

_SLAB = 16
"""Slices that are taken apart at a time; their coefficients are eight times as many as their voxels."""

_Part = tuple[slice, ...]


def noise_sigma(data: np.ndarray, inside: np.ndarray) -> float:
    """Return the standard deviation of white noise, from the median of the finest diagonal Haar wavelet.

    It is taken `inside`, where there is signal, so that Rician noise is nearly Gaussian.

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

    Squares are averaged: their mean is that of the clean scan's and twice the variance of the noise.

    References
    ----------
    Buades et al. (2005), CVPR, doi:10.1109/CVPR.2005.38; in 3D Coupe et al. (2008), IEEE Trans Med Imaging
    27(4):425-441, doi:10.1109/TMI.2007.906087; of Rician noise Wiest-Daessle et al. (2008), MICCAI,
    doi:10.1007/978-3-540-85990-1_21.
    """
    noisy = torch.from_numpy(np.ascontiguousarray(data))

    def weigh(here: _Part, there: _Part) -> Tensor:
        distance = _mean_of_27((noisy[here] - noisy[there]).square())
        return torch.exp(-(distance - 2 * sigma**2).clamp_min(0) / (_DECAY * sigma**2))

    return _weighted_means(data, sigma, 1, weigh)


@torch.inference_mode()
def guided_means(data: np.ndarray, guide: np.ndarray, sigma: float) -> np.ndarray:
    """Return the mean of every voxel and its 124 neighbours, weighted by how alike they are in `guide`.

    Alike are two places with the same value and the same mean of 3^3 voxels around them, whatever way their patches
    are turned. Squares are averaged, see `non_local_means`.

    References
    ----------
    Manjon et al. (2012), Med Image Anal 16(1):18-27, doi:10.1016/j.media.2011.04.003.
    """
    value = torch.from_numpy(np.ascontiguousarray(guide))
    mean = _mean_of_27(value)

    def weigh(here: _Part, there: _Part) -> Tensor:
        distance = (value[here] - value[there]).square() + 3 * (mean[here] - mean[there]).square()
        return torch.exp(-distance / (_GUIDED_DECAY * sigma**2))

    return _weighted_means(data, sigma, 2, weigh)


@torch.inference_mode()
def wiener(data: np.ndarray, guide: np.ndarray, sigma: float) -> np.ndarray:
    """Return what a Wiener filter leaves of the cosine transforms of overlapping blocks of 4^3 voxels.

    A coefficient is multiplied with ``g^2 / (g^2 + sigma^2)``, `g` being the guide's, but a block's mean is kept.
    Blocks in which little noise is left count more. Then what Rician noise adds on the mean, ``sigma^2 / (2 A)`` of a
    signal `A`, is taken away, so that a dark voxel may come out below 0.

    References
    ----------
    The filter and the weight of a block: Dabov et al. (2007), IEEE Trans Image Process 16(8):2080-2095,
    doi:10.1109/TIP.2007.901238. Overlapping cosine transforms in 3D with a guide, but with a threshold: Manjon et al.
    (2012), see `guided_means`.
    """
    basis = dct(np.eye(_BLOCK), axis=0, norm="ortho")
    waves = np.einsum("ai,bj,ck->abcijk", basis, basis, basis).reshape(-1, 1, _BLOCK, _BLOCK, _BLOCK)
    kernel = torch.from_numpy(waves.astype(np.float32))
    padding = [(0, 0), (0, 0), *((_BLOCK, _BLOCK + extent % _STRIDE) for extent in data.shape)]
    noisy, led = (torch.from_numpy(np.pad(volume[None, None], padding)) for volume in (data, guide))
    above, below = torch.zeros_like(noisy), torch.full_like(noisy, torch.finfo(torch.float32).tiny)
    for start in range(0, noisy.shape[2] - _BLOCK + 1, _SLAB):
        slab = slice(start, min(start + _SLAB - _STRIDE + _BLOCK, noisy.shape[2]))
        power = functional.conv3d(led[:, :, slab], kernel, stride=_STRIDE).square()
        gain = power / (power + sigma**2)
        gain[:, 0] = 1
        trust = 1 / gain.square().sum(1, keepdim=True)
        kept = functional.conv3d(noisy[:, :, slab], kernel, stride=_STRIDE) * gain * trust
        above[:, :, slab] += functional.conv_transpose3d(kept, kernel, stride=_STRIDE)
        below[:, :, slab] += functional.conv_transpose3d(trust, torch.ones_like(kernel[:1]), stride=_STRIDE)
    inner: _Part = tuple(slice(_BLOCK, _BLOCK + extent) for extent in data.shape)
    filtered = (above[0, 0][inner] / below[0, 0][inner]).numpy()
    return filtered - sigma**2 / (2 * np.maximum(filtered, _DARKEST * sigma))


def _weighted_means(data: np.ndarray, sigma: float, radius: int, weigh: Callable[[_Part, _Part], Tensor]) -> np.ndarray:
    """Return the root of the weighted mean of squares within `radius` voxels of each, less the noise's part."""
    squares = torch.from_numpy(np.ascontiguousarray(data)).square()
    total, weights = squares.clone(), torch.ones_like(squares)
    for shift in product(range(-radius, radius + 1), repeat=3):
        if shift <= (0, 0, 0):
            continue  # each pair of voxels once
        here, there = _overlap(shift), _overlap(tuple(-step for step in shift))
        weight = weigh(here, there)
        total[here] += weight * squares[there]
        total[there] += weight * squares[here]
        weights[here] += weight
        weights[there] += weight
    return (total / weights - 2 * sigma**2).clamp_min(0).sqrt().numpy()


def _mean_of_27(volume: Tensor) -> Tensor:
    """Return the mean of every voxel and its neighbours; axis by axis, thrice as fast as `avg_pool3d`."""
    for axis in range(3):
        along = volume.movedim(axis, 0)
        total = along.clone()
        total[1:] += along[:-1]
        total[:-1] += along[1:]
        count = torch.full((len(along), 1, 1), 3.0)
        count[0] -= 1
        count[-1] -= 1
        volume = (total / count).movedim(0, axis)
    return volume


def _overlap(shift: tuple[int, ...]) -> _Part:
    """Return the part of a volume that has a neighbour at `shift`."""
    return tuple(slice(max(-step, 0), None if step <= 0 else -step) for step in shift)
