"""Whether an aligned scan has the contrast of T1: white matter brighter than grey."""

import numpy as np
from scipy import ndimage

from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume

_GREY, _WHITE = (0.5, 0.68), 0.82
"""Of the template's intensity."""

LEAST_WHITE_TO_GREY = 1.05
"""T1-weighted scans of four scanners have 1.14 to 3.2, degraded ones included; scans of other contrasts less than 1."""


def white_to_grey(standard: Volume) -> float:
    """Return how much brighter white matter is than grey, by their medians where the template has them.

    `standard` lies as the template does, of any intensity scale, without a strong coil field. Brains differ, so the
    ratio is nearer to 1 than that of the tissues themselves.
    """
    template = load_template(standard.grid).data
    white = ndimage.binary_erosion(template > _WHITE) if standard.grid.spacing_mm[0] < 2 else template > _WHITE
    grey = (template > _GREY[0]) & (template < _GREY[1])
    return float(
        np.median(standard.data[white]) / max(float(np.median(standard.data[grey])), np.finfo(np.float32).tiny)
    )
