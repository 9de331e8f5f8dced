"""The way back: how much of the restored volume enters the result, voxel by voxel, and on which grid.

A scan on its way to the standard grid and back is interpolated twice, which costs a clean one more than any network
would: 41 dB inside a brain of 0.9 mm voxels is all that is left. So what needs no restoration is given back as it came.
"""

import numpy as np
from scipy import ndimage

from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.intensity import blind_scale
from bmenet.imaging.resample import continued, resample
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.restoration.detail import smooth_ratio

FACE_RAMP_MM = 4.0
HEAD_FACE_RAMP_MM = 8.0
_SHOWN_MARGIN_MM = 4.0
BRAIN_RAMP_MM = (1.0, 3.0)

NEGLIGIBLE = 0.010
"""Root mean square change inside the brain, of the unit scale, below which the scan stays as it is: 40 dB."""

DECIDED = 0.020
"""From this change on (34 dB), all of it is applied."""


def adaptive_strength(before: np.ndarray, after: np.ndarray, brain_mask: np.ndarray, spacing_mm: float) -> float:
    """Return how much of the restoration to apply, in [0, 1], from how much it changes within the brain.

    `before` and `after`, both (X, Y, Z), are the scan on the standard grid and its restoration, of any intensity scale,
    the same. VolumeError if `before` has no bright tissue.
    """
    if not brain_mask.any():
        return 1.0
    change = (after - before)[brain_mask].astype(np.float64) / blind_scale(before, spacing_mm)
    severity = float(np.sqrt(np.mean(change**2)))
    return float(np.clip((severity - NEGLIGIBLE) / (DECIDED - NEGLIGIBLE), 0, 1))


def own_field(restored: np.ndarray, scan: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return what to multiply a restored volume with to give it back the field that its scan came with.

    Whether the field of a scan was there from the first, as every scanner leaves one, or is a degradation cannot be
    told from the scan. Whoever knows that nothing but the scanner's own is in it wants it kept. Volumes are (X, Y, Z),
    float32, of one intensity scale; where `restored` is zero the field is 1.
    """
    inside = restored > 0
    return np.where(inside, smooth_ratio(scan, restored, inside, spacing_mm), np.float32(1))


def face_ramp(shape: tuple[int, int, int], spacing_mm: tuple[float, ...], width_mm: float = FACE_RAMP_MM) -> np.ndarray:
    """Return a weight in [0, 1], float32: 0 on the outermost voxels of a grid, 1 from `width_mm` inwards."""
    weight = np.ones(shape, dtype=np.float32)
    for axis, (extent, width) in enumerate(zip(shape, spacing_mm, strict=True)):
        index = np.arange(extent, dtype=np.float32)
        ramp = np.minimum(np.minimum(index, extent - 1 - index) * width / width_mm, 1)
        np.minimum(weight, np.expand_dims(ramp, [other for other in range(3) if other != axis]), out=weight)
    return weight


def brain_ramp(distance_mm: np.ndarray) -> np.ndarray:
    """Return a weight, float32, from the distance to the brain: 1 in it and to 1 mm around it, 0 from 3 mm on."""
    start, end = BRAIN_RAMP_MM
    return np.clip((end - distance_mm) / (end - start), 0, 1).astype(np.float32)


def around_brain(data: np.ndarray, brain_mask: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the brain of a head with a margin of 4 mm, all else 0, and the ramp around it; (X, Y, Z), float32."""
    distance_mm = ndimage.distance_transform_edt(~brain_mask, sampling=spacing_mm)
    return np.where(distance_mm <= _SHOWN_MARGIN_MM, data, np.float32(0)), brain_ramp(distance_mm)


def restored_part(standard: Volume, brain_mask: np.ndarray, is_skull_stripped: bool, only_brain: bool) -> Volume:
    """Return how much of what the networks make of a scan on the standard grid enters the result, in [0, 1].

    All of it, but for a ramp where the grid ends: of 4 mm in a stripped scan, and of 8 mm in a head, which goes on
    beyond it as it came. With `only_brain` the brain of a head alone, and a ramp of 2 mm around it.
    """
    grid = standard.grid
    if is_skull_stripped:
        return standard.with_data(face_ramp(grid.shape, grid.spacing_mm))
    weight = face_ramp(grid.shape, grid.spacing_mm, HEAD_FACE_RAMP_MM)
    if only_brain:
        distance_mm = ndimage.distance_transform_edt(~brain_mask, sampling=grid.spacing_mm)
        weight = np.minimum(weight, brain_ramp(distance_mm))
    return standard.with_data(weight)


def left_around(weight: np.ndarray, strength: float) -> np.ndarray:
    """Return the part of a stripped scan to blend with around its brain, where there is but noise.

    Once blended, ``1 - strength`` of it is left: beyond the field of view, where nothing is restored, as well as in it.
    `weight` is that of the restored volume, in [0, strength]; strength and the result lie in [0, 1].
    """
    return np.divide(1 - strength, 1 - weight, out=np.zeros_like(weight), where=weight < 1)


def blend(restored: Volume, kept: Volume, weight: Volume) -> Volume:
    """Return ``weight * restored + (1 - weight) * kept``; where the weight is 0, `kept` to the last bit."""
    return kept.with_data(kept.data + weight.data * (restored.data - kept.data))


def return_to_native(
    restored: Volume, weight: Volume, scan: Scan, brain: Brain, fixed2moving: np.ndarray, strength: float
) -> Scan:
    """Return a scan with what was restored in the place of what it had; empty where it was, beyond the brain.

    `restored` and `weight` lie on the standard grid, from which `fixed2moving`, (4, 4), leads to the scan's space: the
    result, and how much of it enters, in [0, `strength`]. Where the scan, as it was loaded, is skull-stripped, what
    lies around its brain is noise, and goes as far as the brain is restored: by `strength`, in [0, 1].
    """
    grid = scan.volume.grid
    returned = non_negative(resample(restored, grid, fixed2moving, antialias=False))
    weight = resample(weight, grid, fixed2moving, order=1, antialias=False)
    kept = scan.volume
    if brain.is_skull_stripped:
        kept = kept.with_data(np.where(brain.brain_mask, 1, left_around(weight.data, strength)) * kept.data)
    is_empty = (scan.volume.data == 0) & ~brain.brain_mask
    return scan.with_data(np.where(is_empty, 0, blend(returned, kept, weight).data))


def within(scan: Volume, moving2fixed: np.ndarray, standard: Volume) -> Volume:
    """Return a volume on the standard grid, zero beyond the field of view of a scan, voxels' outer halves included."""
    a_voxel_more = continued(scan, min(scan.grid.spacing_mm))
    inside = np.pad(np.ones_like(scan.data), (np.array(a_voxel_more.data.shape) - scan.data.shape)[:, None] // 2)
    shown = resample(a_voxel_more.with_data(inside), standard.grid, moving2fixed, order=0)
    return standard.with_data(standard.data * shown.data)


def return_std(std: Volume, scan: Scan, fixed2moving: np.ndarray) -> Scan:
    """Return the standard deviation over samples on the grid of the scan; linear, so that it stays positive."""
    return scan.with_data(resample(std, scan.volume.grid, fixed2moving, order=1, antialias=False).data)


def non_negative(volume: Volume) -> Volume:
    """Cut off the overshoot of cubic splines below 0."""
    return volume.with_data(np.maximum(volume.data, 0))
