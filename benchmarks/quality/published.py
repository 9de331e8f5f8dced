"""What was published: PSNR and SSIM over the whole grid, on data that are not public."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A row of the published comparison.

    Parameters
    ----------
    psnr : float
        In dB.
    ssim : float
    """

    psnr: float
    ssim: float


PUBLISHED = {
    "degraded input": Published(20.79, 0.408),
    "BM4D": Published(21.51, 0.577),
    "EIP4MOCO": Published(17.58, 0.481),
    "MLP": Published(24.94, 0.725),
    "BMENet": Published(26.90, 0.817),
}
"""Method to what was published of it; motion, noise and inhomogeneity at once, as code 111 here."""

COUNTERPARTS = {"degraded": "degraded input", "n4_bm4d": "BM4D", "fine": "BMENet"}
"""Method here to the published row it stands beside."""
