"""How close a restored volume is to the clean one: PSNR, SSIM, NCC and HFEN.

Every function takes `restored` and `clean`, float32 arrays of one shape (X, Y, Z) with unit intensities (data range
1; `restored` may exceed it), and `region`, the voxels that count: a boolean array of the same shape, or None for the
whole grid.
"""

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

PSNR_CAP_DB = 100.0
"""PSNR of identical volumes: infinity is not JSON, and nothing measured here comes near this value."""

_SSIM_SIGMA_VOXELS = 1.5
_LOG_SIGMA_VOXELS = 1.5
_LOG_RADIUS_VOXELS = 7


def psnr(restored: np.ndarray, clean: np.ndarray, region: np.ndarray | None = None) -> float:
    """Return the peak signal-to-noise ratio, ``-10 log10(mean((restored - clean)^2))``, in dB, at most 100."""
    mean_squared_error = np.mean(_inside((restored - clean) ** 2, region), dtype=np.float64)
    return float(-10 * np.log10(max(mean_squared_error, 10 ** (-PSNR_CAP_DB / 10))))


def ssim(restored: np.ndarray, clean: np.ndarray, region: np.ndarray | None = None) -> float:
    """Return the mean structural similarity, in [-1, 1].

    The index of Wang et al. in 3D: Gaussian window of sigma 1.5 voxels and 11 voxels wide, population variances,
    ``C1 = 0.01^2``, ``C2 = 0.03^2``. Over the whole grid, the mean leaves out the 5 voxels at each face whose window
    would leave the volume (scikit-image's definition); in a region it is the mean of the map inside the region.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli (2004), IEEE Trans Image Process 13(4):600-612, doi:10.1109/TIP.2003.819861.
    """
    mean, similarity = structural_similarity(
        clean,
        restored,
        data_range=1.0,
        gaussian_weights=True,
        sigma=_SSIM_SIGMA_VOXELS,
        use_sample_covariance=False,
        full=True,
    )
    return float(mean) if region is None else float(np.mean(similarity[region], dtype=np.float64))


def ncc(restored: np.ndarray, clean: np.ndarray, region: np.ndarray | None = None) -> float:
    """Return the normalised cross-correlation (Pearson's r) of the voxels, in [-1, 1]; 0 if either is constant."""
    a, b = (_inside(data, region).astype(np.float64).ravel() for data in (restored, clean))
    a -= a.mean()
    b -= b.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0 else 0.0


def hfen(restored: np.ndarray, clean: np.ndarray, region: np.ndarray | None = None) -> float:
    """Return the high-frequency error norm, ``||LoG(restored) - LoG(clean)|| / ||LoG(clean)||``; 0 is perfect.

    LoG is a Laplacian of Gaussian of sigma 1.5 voxels on a 15 x 15 x 15 kernel: the 3D form of Ravishankar and
    Bresler's, divided by the norm of the clean volume so that subjects compare.

    References
    ----------
    Ravishankar, Bresler (2011), IEEE Trans Med Imaging 30(5):1028-1041, doi:10.1109/TMI.2010.2090538.
    """
    # LoG is linear: one filtering of the difference stands for two of the volumes.
    truncate = _LOG_RADIUS_VOXELS / _LOG_SIGMA_VOXELS
    error, reference = (
        np.linalg.norm(_inside(ndimage.gaussian_laplace(data, _LOG_SIGMA_VOXELS, truncate=truncate), region))
        for data in (restored - clean, clean)
    )
    return float(error / reference)


def _inside(data: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    """Return the voxels that count."""
    return data if region is None else data[region]
