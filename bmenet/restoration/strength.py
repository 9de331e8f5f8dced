"""How much of a restoration is applied: all of it where it changes much, nothing where it changes next to nothing.

A scan on its way to the standard grid and back is interpolated twice, which costs a clean one more than any network
would: 41 dB inside a brain of 0.9 mm voxels is all that is left. So what needs no restoration is given back as it came.
"""

import numpy as np

from bmenet.imaging.intensity import blind_scale

NEGLIGIBLE = 0.010
"""Root mean square change inside the brain, of the unit scale, below which the scan stays as it is: 40 dB."""

DECIDED = 0.020
"""From this change on (34 dB), all of it is applied."""


def adaptive_strength(before: np.ndarray, after: np.ndarray, brain_mask: np.ndarray, spacing_mm: float) -> float:
    """Return how much of the restoration to apply, in [0, 1], from how much it changes.

    Parameters
    ----------
    before, after : ndarray, shape (X, Y, Z)
        The scan on the standard grid and its restoration, of any intensity scale, the same.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    spacing_mm : float
        Of the grid.

    Raises
    ------
    VolumeError
        If `before` has no bright tissue.
    """
    if not brain_mask.any():
        return 1.0
    change = (after - before)[brain_mask].astype(np.float64) / blind_scale(before, spacing_mm)
    severity = float(np.sqrt(np.mean(change**2)))
    return float(np.clip((severity - NEGLIGIBLE) / (DECIDED - NEGLIGIBLE), 0, 1))
