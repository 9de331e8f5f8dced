"""How alike two aligned volumes are, whatever their contrast, bias field or brightness."""

import numpy as np
from scipy import ndimage

_VARIANCE_FLOOR = 1e-4
"""Squared unit intensity: windows flatter than a standard deviation of 0.01 have nothing to compare."""


class LocalNCC:
    """Mean local normalised cross-correlation with a fixed volume inside its brain, in [-1, 1].

    In each cubic window the correlation ``cov(a, b) / sqrt(var(a) var(b))``; then the mean over the windows centred
    in the brain. A bias field or another brightness changes little within a window, and the outline of the head, which
    rules the global correlation of a skull-stripped volume, counts only where it is.

    Parameters
    ----------
    fixed_data : ndarray, shape (X, Y, Z)
        Unit intensities.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    window_voxels : int
        Edge of a window.

    References
    ----------
    Avants et al. (2008), Symmetric diffeomorphic image registration with cross-correlation, Medical Image
    Analysis 12(1), doi:10.1016/j.media.2007.06.004.
    """

    def __init__(self, fixed_data: np.ndarray, brain_mask: np.ndarray, window_voxels: int) -> None:
        self.fixed_data = fixed_data.astype(np.float32)
        self.brain_mask = brain_mask
        self.window_voxels = window_voxels
        self.fixed_mean, self.fixed_variance = self._moments(self.fixed_data)

    def __call__(self, moved_data: np.ndarray) -> float:
        """Compare `moved_data`, shape (X, Y, Z), unit intensities on the same grid."""
        mean, variance = self._moments(moved_data)
        covariance = self._average(moved_data * self.fixed_data) - mean * self.fixed_mean
        correlation = covariance / np.sqrt(variance * self.fixed_variance)
        return float(correlation[self.brain_mask].mean())

    def _moments(self, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the variance of every window."""
        mean = self._average(data)
        return mean, np.maximum(self._average(data**2) - mean**2, _VARIANCE_FLOOR)

    def _average(self, data: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(data, self.window_voxels, mode="constant")
