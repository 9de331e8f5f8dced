"""Three tissues of a brain by Atropos (ANTsPy): the segmenter that needs nothing installed beside this package."""

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from bmenet.evaluation.segmentation.labels import Segmentation
from bmenet.imaging.brain import bounding_box
from bmenet.imaging.volume import Volume
from bmenet.runtime.code import code_hash
from bmenet.runtime.errors import GridMismatchError, VolumeError

TISSUES = {1: "csf", 2: "grey matter", 3: "white matter"}
"""Label to tissue, darkest first, as a T1-weighted image shows them."""

_N4_SPACING_MM = 6.0
_N4_ITERATIONS = [50, 50, 50]
_N4_TOLERANCE = 1e-7
_BRIGHTEST_PERCENTILE = 99.5
_BRIGHTEST = 1.5
"""Vessels and spikes beyond 1.5 times the 99.5th percentile count as that bright, lest they become a class."""

_ITERATIONS = 1
_MRF = "[0.1,1x1x1]"


class AtroposSegmenter:
    """Three tissues by `segment_tissues`; keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        del folder

    @staticmethod
    def require() -> None:
        """Do nothing: ANTsPy comes with this package."""

    def fingerprint(self) -> str:
        """Return the version of ANTsPy with what this file says."""
        return f"atropos {version('antspyx')} {code_hash(__name__)}"

    def segment(self, volume: Volume, brain_mask: np.ndarray) -> Segmentation:
        """Segment the brain of a volume into its tissues, each a region of its own."""
        return Segmentation(segment_tissues(volume, brain_mask), {name: (label,) for label, name in TISSUES.items()})


def segment_tissues(volume: Volume, brain_mask: np.ndarray, *, has_field: bool = True) -> np.ndarray:
    """Segment the brain of a T1-weighted volume into CSF, grey matter and white matter.

    N4, then a mixture of three Gaussians with a Markov random field (weight 0.1, neighbourhood 3 x 3 x 3), started
    from Otsu's thresholds. One ITK thread: the same input gives the same labels.

    N4 is here so that a method is not judged by the bias it left, which FAST and FastSurfer see through. Mean Dice of a
    degraded volume with the clean one, two subjects of ds002748 at 1 mm, moderate: bias alone 0.97 and 0.93 (without N4
    0.81 and 0.77), noise alone 0.95 and 0.93 (0.96 and 0.93), all three 0.89 and 0.85 (0.72 and 0.71); 10 s of CPU
    time a volume (7 s). On the first of them, N4 on 4 mm took 6 s more and gained nothing, with 20 iterations a level
    it lost 0.03 (bias) and 0.10 (all three); three iterations of the mixture, and k-means to start it, took 3 and 6 s
    more and changed no Dice by 0.01.

    Parameters
    ----------
    volume : Volume
        Any intensity scale, clean, degraded or restored. Values below 0 count as 0.
    brain_mask : ndarray of bool, shape (X, Y, Z)
    has_field : bool
        Whether the volume may be inhomogeneous; without, N4 is left out, which takes most of the time.

    Returns
    -------
    labels : ndarray of uint8, shape (X, Y, Z)
        0 outside the brain, 1 CSF, 2 grey matter, 3 white matter: by rising mean intensity.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    VolumeError
        If the mask is empty, the volume is not finite or constant inside it, or three classes cannot be told apart.

    References
    ----------
    Avants et al. (2011), An open source multivariate framework for n-tissue segmentation with evaluation on public
    data, Neuroinformatics 9(4):381-400, doi:10.1007/s12021-011-9109-y.
    Tustison et al. (2010), IEEE Trans Med Imaging 29(6):1310-1320, doi:10.1109/TMI.2010.2046908.
    """
    inside = _check(volume, brain_mask)
    box = bounding_box(inside)
    inside = np.ascontiguousarray(inside[box])
    data = np.where(inside, np.maximum(volume.data[box], 0), 0).astype(np.float64)
    brightest = np.percentile(data[inside], _BRIGHTEST_PERCENTILE) or data.max()
    intensities = np.minimum(data / brightest, _BRIGHTEST).astype(np.float32)
    corrected, classes = _segment(intensities, inside, volume.grid.spacing_mm, has_field)
    labels = np.zeros(volume.data.shape, np.uint8)
    labels[box] = _by_brightness(classes, corrected, inside)
    return labels


def _check(volume: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return the mask as booleans, if there is something to segment in it."""
    if brain_mask.shape != volume.data.shape:
        raise GridMismatchError(f"`brain_mask`: expected shape {volume.data.shape}; got {brain_mask.shape}")
    inside = brain_mask.astype(bool)
    values = volume.data[inside]
    if not values.size:
        raise VolumeError("`brain_mask`: expected a mask with at least one voxel; got an empty one")
    if not np.isfinite(values).all():
        raise VolumeError("`volume`: expected finite intensities inside the brain mask; got NaN or infinite ones")
    if values.max() <= 0 or values.min() == values.max():
        raise VolumeError(
            f"`volume`: expected three tissues inside the brain mask; got {values.max():g} as its brightest voxel and "
            f"{values.min():g} as its darkest"
        )
    return inside


def _segment(
    data: np.ndarray, inside: np.ndarray, spacing_mm: tuple[float, ...], has_field: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bias-corrected intensities and Atropos' classes, 1 to 3, 0 outside the brain."""
    # ITK reads this once, before its first filter runs.
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants  # Late, for the same reason.

    brain = ants.from_numpy(inside.astype(np.float32), spacing=list(spacing_mm))
    corrected = ants.from_numpy(data, spacing=list(spacing_mm))
    try:
        if has_field:
            corrected = ants.n4_bias_field_correction(
                corrected,
                mask=brain,
                shrink_factor=max(1, round(_N4_SPACING_MM / min(spacing_mm))),
                convergence={"iters": _N4_ITERATIONS, "tol": _N4_TOLERANCE},
            )
        classes = _run_atropos(corrected, brain)
    except RuntimeError as error:
        raise VolumeError(f"`volume`: expected three tissues inside the brain mask; ANTs failed: {error}") from error
    return corrected.numpy(), np.where(inside, classes, 0)


def _run_atropos(image: Any, brain: Any) -> np.ndarray:
    """Run Atropos as `ants.atropos` does, which leaves its probability images behind in the temporary folder."""
    from ants.internal import get_lib_fn, get_pointer_string, process_arguments

    classes = image.clone("unsigned int")
    with tempfile.TemporaryDirectory(prefix="bmenet-atropos-") as folder:
        arguments = {
            "d": 3,
            "a": image,
            "x": brain.clone("unsigned int"),
            "i": "Otsu[3]",
            "m": _MRF,
            "c": f"[{_ITERATIONS},0]",
            # Atropos visits voxels in a random order, by default another one at each call.
            "r": 0,
            # Atropos keeps probabilities in memory only if it is told to write them: without, it takes twice the time.
            "o": f"[{get_pointer_string(classes)},{Path(folder) / 'probability%02d.nii'}]",
        }
        if (status := get_lib_fn("Atropos")(process_arguments(arguments))) != 0:
            raise RuntimeError(f"Atropos ended with status {status}")
    return classes.numpy()


def _by_brightness(classes: np.ndarray, corrected: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Renumber the classes by rising mean intensity."""
    found = np.unique(classes[inside])
    if found.size != len(TISSUES):
        raise VolumeError(f"`volume`: expected three tissues inside the brain mask; got {found.size} classes")
    darkest_first = found[np.argsort(ndimage.mean(corrected, classes, found))]
    return np.select([inside & (classes == number) for number in darkest_first], list(TISSUES), 0).astype(np.uint8)
