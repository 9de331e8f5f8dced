"""N4 bias field correction (ANTsPy)."""

import numpy as np

from bmenet.baselines.foreground import find_foreground
from bmenet.volume import Volume

_SHRUNKEN_SPACING_MM = 4.0
_ITERATIONS = [50, 50]
_TOLERANCE = 1e-7


def correct_bias(degraded: Volume) -> Volume:
    """Divide by N4's estimate of the field, normalised to a mean of 1 in the foreground.

    Tustison et al., estimated on a 4 mm copy inside the foreground, two levels of 50 iterations. Two levels served N4
    best: with motion and noise about, finer splines follow the anatomy (brain PSNR of a `111` volume: 20.1, 22.5, 21.0
    and 19.2 dB with one to four levels). N4 leaves the global scale open; the mean of 1 keeps it.

    References
    ----------
    Tustison et al. (2010), IEEE Trans Med Imaging 29(6):1310-1320, doi:10.1109/TMI.2010.2046908.
    """
    import ants  # Late: ITK reads its number of threads once, when it is loaded.

    foreground = find_foreground(degraded)
    image = ants.from_numpy(degraded.data, spacing=degraded.grid.spacing_mm)
    field = ants.n4_bias_field_correction(
        image,
        mask=image.new_image_like(foreground.astype(np.float32)),
        shrink_factor=max(1, round(_SHRUNKEN_SPACING_MM / min(degraded.grid.spacing_mm))),
        convergence={"iters": _ITERATIONS, "tol": _TOLERANCE},
        return_bias_field=True,
    ).numpy()
    return degraded.with_data(degraded.data / (field / field[foreground].mean()))
