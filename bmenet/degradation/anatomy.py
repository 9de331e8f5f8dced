"""Other heads from the one that is there: bent brains, wide ventricles, a skull and a scalp around them."""

import numpy as np
from scipy import ndimage

from bmenet.config.degradation import DeformationConfig
from bmenet.imaging.brain import bounding_box
from bmenet.imaging.resample import sample_along_axes
from bmenet.imaging.volume import Volume

_LATTICE_MM = 32.0
"""Nodes of the random displacement lie so far apart; at 5 mm root mean square, space does not fold."""

_SPLINE_RMS = 0.32
"""Root mean square of a cubic B-spline with independent coefficients of variance 1, in three dimensions."""

_RINGING = 0.01
"""Intensity below which the spline's ringing outside the brain is cut off."""

_VENTRICLES_MM = np.array([0.0, -20.0, 12.0])
_VENTRICLES_REACH_MM = 16.0

_LAYERS_MM = {"fluid": (1.0, 3.0), "skull": (3.0, 7.0), "scalp": (3.0, 8.0)}
"""Thickness of what lies around a brain, from inside to outside: ranges to draw from, smoothly over the head."""
_BRIGHTNESS = {"fluid": (0.05, 0.3), "skull": (0.02, 0.2), "scalp": (0.4, 1.2)}


def bend(clean: Volume, config: DeformationConfig, rng: np.random.Generator) -> Volume:
    """Displace the tissue smoothly at random, and widen or narrow the region of the ventricles; cubic interpolation.

    `clean` has unit intensities on the standard grid; its background is zero and stays so. `config.widening` says how
    much wider the tissue about the ventricles may become, of its own width.
    """
    shape, spacing = clean.data.shape, clean.grid.spacing_mm[0]
    nodes = [int(np.ceil(extent * spacing / _LATTICE_MM)) + 3 for extent in shape]
    rms = rng.uniform(config.rms_mm.low, config.rms_mm.high)
    lattice = rng.standard_normal((3, *nodes)) * (rms / np.sqrt(3) / _SPLINE_RMS)
    widening = rng.uniform(-0.3, 1.0) * config.widening
    reach = int(np.ceil((3 * rms + 0.6 * widening * _VENTRICLES_REACH_MM) / spacing)) + 1
    head_mask = (clean.data > 0).view(np.uint8)
    places = np.nonzero(ndimage.maximum_filter(head_mask, size=2 * reach + 1))
    points = np.stack(places).astype(np.float64)
    at = points * spacing / _LATTICE_MM + 1
    shift = np.stack([ndimage.map_coordinates(axis, at, order=3, prefilter=False) for axis in lattice]) / spacing
    centre = np.linalg.inv(clean.affine) @ [*_VENTRICLES_MM, 1]
    arms = points - centre[:3, None]
    near = np.exp(-np.square(arms).sum(axis=0) * spacing**2 / (2 * _VENTRICLES_REACH_MM**2))
    shift -= widening / (1 + widening) * near * arms
    bent = np.zeros(shape, np.float32)
    bent[places] = ndimage.map_coordinates(clean.data, points + shift, order=3)
    return clean.with_data(np.clip(bent, 0, 1) * (bent > _RINGING))


def add_scalp(clean: Volume, rng: np.random.Generator) -> tuple[Volume, np.ndarray]:
    """Put fluid, a dark skull and a bright scalp around a brain; return the distance to the brain in mm as well."""
    spacing = clean.grid.spacing_mm[0]
    distance_mm = distance_to(clean.data > 0.02, spacing)
    head = clean.data.copy()
    inner = np.zeros_like(head)
    outside = distance_mm > 0
    for layer, (thin, thick) in _LAYERS_MM.items():
        outer = inner + smooth_map(clean.data.shape, thin, thick, 40.0 / spacing, rng)
        dark, bright = _BRIGHTNESS[layer]
        texture = smooth_map(clean.data.shape, dark, bright, rng.uniform(4, 20) / spacing, rng)
        here = outside & (distance_mm > inner) & (distance_mm <= outer)
        head[here] = texture[here]
        inner = outer
    softened = ndimage.gaussian_filter(head, 0.7 / spacing)
    head[outside] = softened[outside]
    return clean.with_data(head), distance_mm


def distance_to(brain_mask: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return the distance in mm to the brain, 0 inside, measured on every other voxel: quick, exact to a voxel."""
    coarse = ndimage.distance_transform_edt(~brain_mask[::2, ::2, ::2], sampling=2 * spacing_mm)
    distance = ndimage.zoom(coarse.astype(np.float32), 2, order=1, grid_mode=True, mode="nearest")
    distance = distance[tuple(slice(0, extent) for extent in brain_mask.shape)]
    return np.where(brain_mask, np.float32(0), np.maximum(distance, np.float32(0.5)))


def smooth_map(shape: tuple[int, ...], low: float, high: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random map with values in [low, high], nodes `length` voxels apart; float32."""
    nodes = [max(int(np.ceil(extent / length)) + 1, 2) for extent in shape]
    lattice = rng.uniform(low, high, nodes).astype(np.float32)
    factors = [extent / node for extent, node in zip(shape, nodes, strict=True)]
    return ndimage.zoom(lattice, factors, order=1, grid_mode=False)


def set_into(brain: Volume, brain_mask: np.ndarray, host: Volume, host_mask: np.ndarray) -> tuple[Volume, np.ndarray]:
    """Put a person's brain into another person's head; return the head and the mask of its brain.

    Both lie on the standard grid. The host's brain makes room: fluid, as bright as the host's darkest tissue, fills the
    cavity. The guest is stretched along each axis until the boxes around both brains agree, and made as bright as the
    host's brain was. Where the two meet, a millimetre blends them.
    """
    spacing = host.grid.spacing_mm[0]
    guest_box, host_box = map(bounding_box, (brain_mask, host_mask))
    stretch = np.array([(g.stop - g.start) / (h.stop - h.start) for g, h in zip(guest_box, host_box, strict=True)])
    offset = np.array([g.start - s * h.start for g, h, s in zip(guest_box, host_box, stretch, strict=True)])
    shape = host.data.shape
    fitted = sample_along_axes(brain.data, stretch, offset, shape)
    fitted_mask = sample_along_axes(brain_mask, stretch, offset, shape, order=1) > 0.5
    inside = host.data[host_mask]
    gain = np.median(inside) / max(float(np.median(fitted[fitted_mask])), _RINGING)
    fluid = np.float32(np.percentile(inside, 2))
    emptied = np.where(host_mask & ~fitted_mask, np.minimum(host.data, fluid + 0.1 * host.data), host.data)
    weight = np.clip(ndimage.gaussian_filter(fitted_mask.astype(np.float32), 0.6 / spacing) * 2 - 0.5, 0, 1)
    head = weight * np.clip(gain * fitted, 0, None) + (1 - weight) * emptied
    return host.with_data(np.clip(head, 0, 1)), fitted_mask
