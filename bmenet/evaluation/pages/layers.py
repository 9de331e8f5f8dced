"""Volumes as a page holds them: 8 bits a voxel, cut to what is not empty, compressed NIfTI in base64."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import nibabel as nib
import numpy as np

from bmenet.imaging.brain import bounding_box
from bmenet.imaging.grid import Grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError

Kind = Literal["image", "difference", "uncertainty"]

_STORED_PERCENTILE = 99.95
_SHOWN_PERCENTILE = 99.0
"""Of the magnitudes above 0, in that layer of a kind where it is highest: what can be read out, what is shown."""

_ZERO_COUNT = 128
_LEVELS = {"image": 255, "difference": 127, "uncertainty": 255}
_EMPTY = 0.05
_FAINT = 0.1
_MARGIN_VOXELS = 3
_GZIP_LEVEL = 4
_MOST_VOXELS = 12e6
_MANY_VOXELS = 4e6
_GROWTH = 1.02


@dataclass(frozen=True)
class Layer:
    """A volume to be looked at, with the unit of its values; the name of a difference spells out the subtraction.

    An image and an uncertainty are taken as non-negative; a difference is signed, and 0 is shown black.
    """

    name: str
    volume: Volume
    kind: Kind
    unit: str = ""


def encode_layers(layers: Sequence[Layer]) -> tuple[list[str], dict[str, Any]]:
    """Return layers, one or more on one grid, as base64 of compressed NIfTI, and what the viewer has to know of them.

    Layers of one kind share one scale of 255 steps, so that equal values look equal. It reaches up to their 99.95th
    percentile (of the magnitudes above 0); the few values beyond are stored as that one. Zero is always exact. A page
    of more than 12 million voxels would be too heavy to send: its voxels are made larger, see `_light`.

    Returns
    -------
    volumes : list of str
    view : dict
        ``layers`` (name, kind, unit), ``scales`` (per kind: stored limit, shown limit, step), ``centre_mm``,
        RAS+, where the crosshair starts, and ``coarser_mm``, the edge of voxels that were made larger.

    Raises
    ------
    GridMismatchError
        If two layers lie on different grids.
    VolumeError
        If a value is not finite.
    """
    _check(layers)
    given_mm = max(layers[0].volume.grid.spacing_mm)
    layers = _light(layers)
    spacing_mm = max(layers[0].volume.grid.spacing_mm)
    kinds = dict.fromkeys(layer.kind for layer in layers)
    scales = {kind: _scale(kind, [layer.volume.data for layer in layers if layer.kind == kind]) for kind in kinds}
    volumes = [_pack(layer, scales[layer.kind]["step"]) for layer in layers]
    # There is something to see where something differs, or else where it is bright.
    seen = next((layer.volume for layer in layers if layer.kind == "difference"), layers[0].volume)
    view = {
        "layers": [{"name": layer.name, "kind": layer.kind, "unit": layer.unit} for layer in layers],
        "scales": scales,
        "coarser_mm": round(spacing_mm, 2) if spacing_mm > given_mm else None,
        "centre_mm": nib.affines.apply_affine(seen.affine, centre_index(seen.data)).tolist(),
    }
    return volumes, view


def _check(layers: Sequence[Layer]) -> None:
    """Raise if layers do not share one grid, or cannot be shown."""
    first = layers[0]
    for layer in layers:
        grid = layer.volume.grid
        if not grid.same_as(first.volume.grid):
            raise GridMismatchError(
                f"layer {layer.name!r}: expected the grid of {first.name!r}, shape {first.volume.grid.shape}; got shape"
                f" {grid.shape}, affine {grid.affine.round(3).tolist()}; resample it first"
            )
        if not np.isfinite(layer.volume.data).all():
            raise VolumeError(f"layer {layer.name!r}: expected finite values; got NaN or infinity")


def _light(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers cut to where one of them is above noise, and on a coarser grid if they have too many voxels.

    The coarser grid has the same axes; only edges shorter than its own grow.
    """
    box = _content([layer.volume.data for layer in layers])
    start = np.array([part.start for part in box])
    cut = [replace(layer, volume=_part(layer.volume, box, start)) for layer in layers]
    grid = cut[0].volume.grid
    coarse = _coarser(grid, _MOST_VOXELS / len(layers))
    if coarse.shape == grid.shape:
        return cut
    return [replace(layer, volume=resample(layer.volume, coarse, order=1)) for layer in cut]


def _scale(kind: str, volumes: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the limit of what is stored, of what is shown at first, and the step between two counts."""
    stored = shown = 0.0
    for data in volumes:
        magnitudes = np.abs(data[data != 0] if kind == "difference" else data[data > 0])
        if magnitudes.size:
            high, low = np.percentile(magnitudes, (_STORED_PERCENTILE, _SHOWN_PERCENTILE))
            stored, shown = max(stored, float(high)), max(shown, float(low))
    if stored == 0:  # everything is 0: any scale tells so
        stored = shown = 1.0
    return {"stored": stored, "shown": shown, "step": stored / _LEVELS[kind]}


def _quantise(layer: Layer, step: float) -> np.ndarray:
    """Return the counts of a layer, uint8; a difference of 0 is `_ZERO_COUNT`."""
    levels = _LEVELS[layer.kind]
    counts = np.rint(layer.volume.data / np.float32(step))
    if layer.kind == "difference":
        return (np.clip(counts, -levels, levels) + _ZERO_COUNT).astype(np.uint8)
    return np.clip(counts, 0, levels).astype(np.uint8)


def _content(volumes: Sequence[np.ndarray]) -> tuple[slice, ...]:
    """Return the box outside which no volume shows more than faint noise; everything if nothing stands out."""
    filled = np.zeros(volumes[0].shape, bool)
    for data in volumes:
        few = np.abs(thinned(data))
        high = float(np.percentile(few[few > 0], _STORED_PERCENTILE)) if few.any() else 0.0
        filled |= np.abs(data) > _EMPTY * high
    return bounding_box(filled if filled.any() else ~filled, _MARGIN_VOXELS)


def _part(volume: Volume, box: tuple[slice, ...], start: np.ndarray) -> Volume:
    """Return a box of a volume, at its place."""
    affine = volume.affine.copy()
    affine[:3, 3] = nib.affines.apply_affine(affine, start)
    return Volume(volume.data[box], affine)


def _coarser(grid: Grid, most_voxels: float) -> Grid:
    """Return a grid of the same axes and field of view with no more voxels than that; the same one if it has not."""
    widths = np.array(grid.spacing_mm)
    extents = np.array(grid.shape) * widths
    edges = widths
    while np.prod(extents / edges) > most_voxels:
        edges = np.maximum(edges, _GROWTH * edges.min())
    shape = np.maximum(np.floor(extents / edges + 1e-6), 1).astype(int)
    affine = grid.affine @ np.diag([*(edges / widths), 1])
    affine[:3, 3] = nib.affines.apply_affine(grid.affine, (edges / widths - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _pack(layer: Layer, step: float) -> str:
    """Return the counts of a layer as compressed NIfTI in base64; the same counts give the same text."""
    image = nib.Nifti1Image(_quantise(layer, step), layer.volume.affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(step, -_ZERO_COUNT * np.float32(step) if layer.kind == "difference" else 0)
    return base64.b64encode(gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0)).decode("ascii")


def centre_index(data: np.ndarray) -> list[float]:
    """Return the centre of what stands out in a volume, as a voxel index; of the grid if nothing does."""
    magnitudes = np.abs(thinned(data))
    # Not of the few brightest voxels: vessels, and the eyes, lie at the rim.
    bright = float(np.percentile(magnitudes[magnitudes > 0], _SHOWN_PERCENTILE)) if magnitudes.any() else 0.0
    is_seen = magnitudes > _FAINT * bright
    if not is_seen.any():
        return [(extent - 1) / 2 for extent in data.shape]
    step = _step(data)
    return [step * float(places.mean()) for places in np.nonzero(is_seen)]


def thinned(data: np.ndarray) -> np.ndarray:
    """Return every other voxel along each axis of what has many: enough to tell how bright it is, and where."""
    return data[(slice(None, None, _step(data)),) * data.ndim]


def _step(data: np.ndarray) -> int:
    return 2 if data.size > _MANY_VOXELS else 1
