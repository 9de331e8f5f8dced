"""What happens to k-space itself: ghosts, a cut at high frequencies, thick slices."""

import numpy as np
from scipy import fft, ndimage

from bmenet.imaging.volume import Volume


def ghost(data: np.ndarray, axis: int, period: int, intensity: float, restored: float = 0.02) -> np.ndarray:
    """Weaken every n-th plane of k-space along an axis, as TorchIO's RandomGhosting does; return a magnitude image.

    Parameters
    ----------
    data : ndarray, shape (X, Y, Z)
    axis : int
    period : int
        Every so many planes; as many ghosts appear, evenly spaced over the field of view.
    intensity : float
        What a plane loses, in [0, 1].
    restored : float
        Fraction of k-space around its centre that keeps its planes, so that the mean stays.

    References
    ----------
    Perez-Garcia et al. (2021), TorchIO, Comput Methods Programs Biomed 208, doi:10.1016/j.cmpb.2021.106236.
    """
    extent = data.shape[axis]
    order = fft.fftshift(np.arange(extent))
    gain = np.ones(extent, np.float32)
    gain[order[::period]] = 1 - intensity
    half = max(round(restored * extent / 2), 1)
    gain[order[extent // 2 - half : extent // 2 + half]] = 1
    return _filtered(data, axis, gain)


def truncate(data: np.ndarray, axis: int, kept: float) -> np.ndarray:
    """Keep the central fraction of k-space along an axis and fill the rest with zeros: blurred, with Gibbs ringing."""
    extent = data.shape[axis]
    frequency = np.abs(fft.fftfreq(extent))
    return _filtered(data, axis, (frequency <= kept / 2).astype(np.float32))


def thicken(volume: Volume, axis: int, thickness_mm: float) -> np.ndarray:
    """Average over slices of a thickness without gaps, and interpolate linearly back to the grid."""
    width = volume.grid.spacing_mm[axis]
    slices = np.maximum(round(thickness_mm / width), 1)
    mean = ndimage.uniform_filter1d(volume.data, slices, axis=axis, mode="nearest")
    places = np.arange(slices // 2, volume.data.shape[axis], slices)
    wanted = np.interp(np.arange(volume.data.shape[axis]), places, np.arange(places.size))
    lower = np.minimum(wanted.astype(int), places.size - 1)
    upper = np.minimum(lower + 1, places.size - 1)
    share = np.expand_dims((wanted - lower).astype(np.float32), [other for other in range(3) if other != axis])
    thick = np.take(mean, places, axis=axis)
    return (1 - share) * np.take(thick, lower, axis=axis) + share * np.take(thick, upper, axis=axis)


def _filtered(data: np.ndarray, axis: int, gain: np.ndarray) -> np.ndarray:
    """Multiply k-space by a gain along one axis and return the magnitude image."""
    weights = np.expand_dims(gain, [other for other in range(3) if other != axis])
    return np.abs(fft.ifft(weights * fft.fft(data.astype(np.complex64), axis=axis), axis=axis)).astype(np.float32)
