"""BM4D, alone or after N4, where its package is installed (its licence forbids commercial use)."""

from importlib.util import find_spec

import numpy as np

from bmenet.evaluation.baselines.foreground import find_foreground, widen
from bmenet.evaluation.baselines.n4 import correct_bias
from bmenet.imaging.box import bounding_box
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import BMENetError


def require_package() -> None:
    """Raise a BMENetError that says what to do, unless the package bm4d is installed."""
    if find_spec("bm4d") is None:
        raise BMENetError(
            "evaluate.baselines: n4_bm4d needs the package bm4d, which is not installed; its licence is "
            "non-commercial: read it, then `pip install bmenet[bm4d]`, or remove n4_bm4d from the list"
        )


def correct_and_filter(degraded: Volume) -> Volume:
    """Correct the bias, then filter: see `filter_noise`."""
    require_package()
    return _filter(correct_bias(degraded), degraded)


def filter_noise(degraded: Volume) -> Volume:
    """Filter the foreground by BM4D (Maggioni et al.) at the noise level of the background.

    The noise of a magnitude image is Rician: its sigma is the root of half the mean square of the background, and the
    filtered value m becomes ``sqrt(m^2 - sigma^2)``. The background is set to zero.

    Raises
    ------
    BMENetError
        If the package bm4d is not installed.

    References
    ----------
    Maggioni et al. (2013), IEEE Trans Image Process 22(1):119-133, doi:10.1109/TIP.2012.2210725.
    """
    require_package()
    return _filter(degraded, degraded)


def _filter(corrected: Volume, degraded: Volume) -> Volume:
    """Filter a volume in the foreground of another."""
    from bm4d import bm4d

    foreground = widen(find_foreground(degraded), min(degraded.grid.spacing_mm))
    sigma = float(np.sqrt(np.mean(corrected.data[~foreground] ** 2, dtype=np.float64) / 2))
    box = bounding_box(foreground)
    filtered = bm4d(corrected.data[box], sigma) if sigma > 0 else corrected.data[box]
    result = np.zeros_like(corrected.data)
    result[box] = np.where(foreground[box], np.sqrt(np.maximum(filtered**2 - sigma**2, 0)), 0)
    return corrected.with_data(result)
