"""The MNI152 T1 template (skull-stripped, ICBM 2009a symmetric) that ships inside nilearn."""

from functools import cache

import numpy as np

from bmenet.imaging.grid import Grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume


def load_template(grid: Grid) -> Volume:
    """Return the brain of the MNI152 T1 template on `grid`, unit intensity; zero outside the brain.

    References
    ----------
    Fonov et al. (2011), Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 54(1),
    doi:10.1016/j.neuroimage.2010.07.033.
    """
    sampled = resample(_native_template(), grid)
    return sampled.with_data(np.clip(sampled.data, 0, 1))


@cache
def _native_template() -> Volume:
    """Read the template once on its own 1 mm grid, divided by its maximum."""
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)
