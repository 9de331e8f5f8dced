"""Where the brain is in a scan, and whether anything else is left of the head."""

import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from typing import Any, Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.intensity import normalise
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError, WeightsError
from bmenet.runtime.files import sha256

_WEIGHTS = {
    "data/models/bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
    "data/models/model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
}
"""SHA-256 of the networks inside deepbet's wheel, version 1.0.2. They are TorchScript: only these two are loaded."""

_LITRES = (0.4, 2.5)
_SHELL_MM = (6.0, 24.0)
_BLOCK_MM, _LEAST_VOXELS = 4.0, 3
_STRIPPED_BELOW, _BLANK = 0.6, 0.1
"""Brightness around the brain: stripped scans reach 0.31 under severe degradation, whole heads begin at 1.16, with
dark scalps at 0.2."""
_EVEN = 2.0
"""Noise and ghosts are alike everywhere around a brain, 1.2 to 1.3 times brighter in their brightest tenth than in the
darkest; skull and a dark scalp 4 times or more."""

_SCALE_PERCENTILE = 99.5
_RIM_VOXELS = 2
_BLANK_BELOW = 1e-3
_BLANK_SHARE = 0.99


Shows = Literal["auto", "head", "brain"]
"""What a scan shows: to be found out, a whole head, or a skull-stripped brain."""


@dataclass(frozen=True)
class Brain:
    """The brain of a scan: one component without holes, on the scan's grid."""

    brain_mask: np.ndarray
    is_skull_stripped: bool
    """Whether the scan holds a brain alone; otherwise it is a whole head, defaced or not."""
    source: Literal["deepbet", "background"]
    """What drew the mask: the network, or the blank background of a stripped scan."""


def find_brain(volume: Volume, device: str = "cpu", shows: Shows = "auto") -> Brain:
    """Find the brain of a T1-weighted scan, whole head or skull-stripped, clean or degraded.

    The network tells where the brain is, and the brightness around it whether it stands alone; the background cannot
    tell, for that of a whole head may be blank as well. Where a stripped scan's background is blank, the mask is then
    all that the stripping left; where noise or ghosts fill it, and in a whole head, it is the network's. Whoever knows
    which of the two the scan `shows`, a head or a brain, need not leave it to that.

    Any intensity scale and orientation will do; what is below 0 counts as 0. It raises what `extract_brain` raises.
    """
    positive = volume.with_data(np.maximum(volume.data, 0))
    brain_mask = extract_brain(positive, device)
    if not (is_skull_stripped(positive, brain_mask) if shows == "auto" else shows == "brain"):
        return Brain(brain_mask, False, "deepbet")
    unit_data, _ = normalise(positive.data, _SCALE_PERCENTILE)
    foreground = foreground_mask(unit_data)
    beyond = unit_data[~ndimage.binary_dilation(foreground, iterations=_RIM_VOXELS)]
    is_blank = beyond.size > 0 and np.mean(beyond < _BLANK_BELOW) >= _BLANK_SHARE  # not even noise
    return Brain(foreground, True, "background") if is_blank else Brain(brain_mask, True, "deepbet")


def extract_brain(volume: Volume, device: str = "cpu") -> np.ndarray:
    """Return the brain of a T1-weighted scan of any intensity scale and orientation, whole head or skull-stripped.

    It is one component without holes, a mask of the scan's shape.

    Raises
    ------
    VolumeError
        If no brain of a plausible size (0.4 to 2.5 litres) is found.
    WeightsError
        If deepbet's networks are not the ones that were reviewed.

    References
    ----------
    Fisch et al. (2024), deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks,
    Computers in Biology and Medicine 179, doi:10.1016/j.compbiomed.2024.108845.
    """
    to_canonical = nib.orientations.io_orientation(volume.affine)
    to_stored = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), to_canonical)
    canonical = np.ascontiguousarray(nib.orientations.apply_orientation(volume.data, to_canonical))
    try:
        network = _network(device)
        brain_mask = network.postprocess(network.run_model(canonical) > 0.5)
    except (AssertionError, ValueError) as error:
        raise VolumeError("expected a T1-weighted scan with a brain; found none") from error
    litres = np.count_nonzero(brain_mask) * abs(np.linalg.det(volume.affine[:3, :3])) / 1e6
    if not _LITRES[0] <= litres <= _LITRES[1]:
        raise VolumeError(
            f"expected a T1-weighted scan with a brain of {_LITRES[0]:g} to {_LITRES[1]:g} litres; found {litres:.2f}"
        )
    return np.ascontiguousarray(nib.orientations.apply_orientation(brain_mask, to_stored)).astype(bool)


def is_skull_stripped(volume: Volume, brain_mask: np.ndarray) -> bool:
    """Tell whether the brain, as `extract_brain` found it, stands alone.

    Then what lies 6 to 24 mm around it is blank, or no brighter than noise and ghosts and as even as they are. A dark
    scalp, as after fat suppression, is neither. The intensities, of any scale, are not below 0.
    """
    widths_mm = np.linalg.norm(volume.affine[:3, :3], axis=0)
    steps = np.maximum(np.rint(_BLOCK_MM / widths_mm), 1).astype(int)
    every = tuple(slice(None, None, step) for step in steps)
    smooth = ndimage.uniform_filter(volume.data, np.maximum(steps, _LEAST_VOXELS), mode="constant")[every]
    inside = brain_mask[every]
    distance_mm = ndimage.distance_transform_edt(~inside, sampling=steps * widths_mm)
    shell = smooth[(distance_mm > _SHELL_MM[0]) & (distance_mm <= _SHELL_MM[1])]
    if shell.size == 0:
        return True
    dark, bright = np.percentile(shell, (10, 90)) / np.median(smooth[inside])
    return bool(bright < _BLANK or (bright < _STRIPPED_BELOW and bright < _EVEN * dark))


@cache
def _network(device: str) -> Any:
    """Load deepbet's two networks once, after a look at their checksums."""
    package = distribution("deepbet")
    for name, expected in _WEIGHTS.items():
        if (got := sha256(str(package.locate_file(name)))) != expected:
            raise WeightsError(f"deepbet's {name}: expected SHA-256 {expected}; got {got}; install deepbet 1.0.2")
    with warnings.catch_warnings():
        # deepbet calls it, and its networks are TorchScript.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is", DeprecationWarning)
        from deepbet import BrainExtraction

        return BrainExtraction(no_gpu=device == "cpu")
