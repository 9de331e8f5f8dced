"""The table of metrics, and all of them of one restored volume; a new metric is a function and a line in `METRICS`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from bmenet.evaluation.metrics.fidelity import hfen, ncc, psnr, ssim
from bmenet.imaging.brain import foreground_mask, head_mask
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError

_SMALLEST_EXTENT = 11
"""Voxels along the shortest axis: the SSIM window must fit."""

_FIELD_SIGMA_MM = 10.0
"""Standard deviation of the Gaussian that smooths a field: anatomy is finer, the coil's sensitivity is not."""
_LARGEST_GAIN = 100.0


Region = Literal["grid", "head", "brain"]
"""Where a metric looks. Air flatters measures of the whole grid, and most of all that of a stripped volume, zero."""


@dataclass(frozen=True)
class Metric:
    """A measure of a restored volume against the clean one.

    Parameters
    ----------
    function : callable
        ``function(restored, clean, region) -> float`` on float32 arrays of shape (X, Y, Z) with unit intensities;
        `region` is a boolean array of that shape, or None for the whole grid.
    region : {"grid", "head", "brain"}
        The voxels that count.
    is_field_free : bool
        Whether the result is measured `without_field`: what it did about motion and noise, whatever it did about the
        field, that of the clean scan's own scanner included.
    """

    function: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    region: Region = "grid"
    lower_is_better: bool = False
    is_field_free: bool = False

    def __call__(
        self, restored: Volume, clean: Volume, brain_mask: np.ndarray, head: np.ndarray | None = None
    ) -> float:
        """Measure in the metric's region; a head that is not given is what `find_head` finds."""
        if self.region == "head" and head is None:
            head = find_head(clean, brain_mask)
        data = without_field(restored, clean, brain_mask) if self.is_field_free else restored.data
        return self.function(data, clean.data, {"grid": None, "head": head, "brain": brain_mask}[self.region])


METRICS: dict[str, Metric] = {
    "psnr": Metric(psnr),
    "ssim": Metric(ssim),
    "ncc": Metric(ncc),
    "hfen": Metric(hfen, lower_is_better=True),
    "psnr_head": Metric(psnr, "head"),
    "ssim_head": Metric(ssim, "head"),
    "psnr_brain": Metric(psnr, "brain"),
    "psnr_field_free_brain": Metric(psnr, "brain", is_field_free=True),
    "ssim_brain": Metric(ssim, "brain"),
    "ncc_brain": Metric(ncc, "brain"),
    "hfen_brain": Metric(hfen, "brain", lower_is_better=True),
}


def find_head(clean: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return the head of a clean volume, its brain included, however dark; of a stripped one it is the brain."""
    return head_mask(clean.data, clean.grid.spacing_mm) | brain_mask


def measure(
    restored: Volume, clean: Volume, brain_mask: np.ndarray | None = None, head: np.ndarray | None = None
) -> dict[str, float]:
    """Return every metric in `METRICS`; finite numbers, always.

    Parameters
    ----------
    restored, clean : Volume
        On one grid, unit intensities (data range 1).
    brain_mask : ndarray of bool, shape (X, Y, Z), optional
        Where the ``_brain`` metrics look; by default the foreground of `clean`, which must then be skull-stripped.
    head : ndarray of bool, shape (X, Y, Z), optional
        Where the ``_head`` metrics look; by default what `find_head` finds, which takes its time.

    Raises
    ------
    GridMismatchError
        If the grids or the mask's shape differ.
    VolumeError
        If a value is not finite, the volume is smaller than the SSIM window, the mask is empty, `clean` is constant
        inside it (NCC and HFEN are then undefined), or it is so dark that there is no head.
    """
    if not restored.grid.same_as(clean.grid):
        expected, got = (f"shape {v.data.shape}, voxels of {v.grid.spacing_mm} mm" for v in (clean, restored))
        raise GridMismatchError(
            f"`restored`: expected the grid of `clean` ({expected}); got another one ({got}); resample it first"
        )
    for name, data in (("restored", restored.data), ("clean", clean.data)):
        if not np.isfinite(data).all():
            raise VolumeError(f"`{name}`: expected finite intensities; got NaN or infinite ones")
    if min(clean.data.shape) < _SMALLEST_EXTENT:
        raise VolumeError(f"expected at least {_SMALLEST_EXTENT} voxels along each axis; got shape {clean.data.shape}")
    if brain_mask is None:
        brain_mask = foreground_mask(clean.data)
    if brain_mask.shape != clean.data.shape:
        raise GridMismatchError(f"`brain_mask`: expected shape {clean.data.shape}; got {brain_mask.shape}")
    inside = clean.data[brain_mask]
    if not inside.size:
        raise VolumeError("`brain_mask`: expected a mask with at least one voxel; got an empty one")
    if inside.min() == inside.max():
        raise VolumeError(f"`clean`: expected structure inside the brain mask; got {inside.max():g} everywhere")
    head = find_head(clean, brain_mask) if head is None else head
    return {name: metric(restored, clean, brain_mask, head) for name, metric in METRICS.items()}


def without_field(restored: Volume, clean: Volume, brain_mask: np.ndarray) -> np.ndarray:
    """Return a restored volume divided by its field: the smooth ratio of it to the clean volume, inside the brain.

    ``r / f`` with ``f = (w * m r) / (w * m c)``: restored r, clean c, brain mask m, a Gaussian window w of 10 mm. A
    clean scan carries the field of its own scanner, so that a restoration that takes this out too is charged for it
    by every other measure; what is left of noise and motion does not show in those either while the field rules them.

    Returns
    -------
    ndarray, shape (X, Y, Z), float32
        Zero outside the brain.
    """
    sigma = _FIELD_SIGMA_MM / np.array(clean.grid.spacing_mm)
    smooth = [ndimage.gaussian_filter(np.where(brain_mask, volume.data, 0), sigma) for volume in (restored, clean)]
    gain = smooth[1] / np.maximum(smooth[0], smooth[1] / _LARGEST_GAIN + np.finfo(np.float32).tiny)
    return np.where(brain_mask, restored.data * gain, 0).astype(np.float32)


def matched_gain(restored: np.ndarray, clean: np.ndarray, brain_mask: np.ndarray) -> float:
    """Return the gain g that minimises ``|g r - c|^2`` inside the brain, ``<r, c> / <r, r>``: restored r, clean c.

    Two acquisitions have different receiver gains, so a restoration cannot know how bright the other is. The same
    rule for every method, the input included, takes the difference out. It hides any error in overall brightness, and
    gives each method the best PSNR that a single factor can. It does not hide a difference that varies in space: the
    coil's sensitivity at another place of the head counts as error of every method alike.

    Raises
    ------
    VolumeError
        If `restored` has no signal inside the brain, or the opposite one.
    """
    inside = restored[brain_mask].astype(np.float64)
    agreement = float(inside @ clean[brain_mask])
    if not agreement > 0:
        raise VolumeError("expected a restored volume with signal inside the brain; got one without")
    return agreement / float(inside @ inside)
