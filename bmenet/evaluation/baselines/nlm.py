"""Adaptive non-local means (ANTsPy), alone or after N4."""

import numpy as np

from bmenet.evaluation.baselines.foreground import find_foreground, widen
from bmenet.evaluation.baselines.n4 import correct_bias
from bmenet.imaging.box import bounding_box
from bmenet.imaging.volume import Volume

_PATCH_RADIUS_VOXELS = 1
_SEARCH_RADIUS_VOXELS = 1


def correct_and_denoise(degraded: Volume) -> Volume:
    """Correct the bias, then denoise: see `denoise`."""
    return _denoise(correct_bias(degraded), degraded)


def denoise(degraded: Volume) -> Volume:
    """Denoise the foreground by adaptive non-local means with a Rician model (Manjon et al.).

    Only the bounding box of the foreground is denoised, and the background is set to zero, which raises the score of
    a skull-stripped volume by 4 dB over the whole grid. Patches of 3^3 voxels, sought within 3^3 voxels: wider
    searches took 3 to 15 times as long and gained nothing.

    References
    ----------
    Manjon et al. (2010), J Magn Reson Imaging 31(1):192-203, doi:10.1002/jmri.22003.
    """
    return _denoise(degraded, degraded)


def _denoise(corrected: Volume, degraded: Volume) -> Volume:
    """Denoise a volume in the foreground of another."""
    import ants  # Late: ITK reads its number of threads once, when it is loaded.

    foreground = widen(find_foreground(degraded), min(degraded.grid.spacing_mm))
    box = bounding_box(foreground)
    image = ants.from_numpy(np.ascontiguousarray(corrected.data[box]))
    denoised = ants.denoise_image(
        image,
        mask=image.new_image_like(foreground[box].astype(np.float32)),
        p=_PATCH_RADIUS_VOXELS,
        r=_SEARCH_RADIUS_VOXELS,
        noise_model="Rician",
    ).numpy()
    result = np.zeros_like(corrected.data)
    result[box] = np.where(foreground[box], denoised, 0)
    return corrected.with_data(result)
