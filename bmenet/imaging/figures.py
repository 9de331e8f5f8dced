"""Pictures of volumes, drawn off screen, with no global state."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bmenet.runtime.files import atomic_path

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Plane to the axis (X, Y, Z) it is perpendicular to."""

SHOWN_FRACTIONS = (0.575, 0.5, 0.5)
"""Where figures cut the grid: on the standard grid at (12, -18, 8) mm, through ventricle and basal ganglia."""

DIFFERENCE_LIMIT = 0.3
TILE_INCHES = 1.7
_FILE_DPI, _PAGE_DPI = 150, 110


@dataclass(frozen=True)
class Tile:
    """A picture with a caption under it: an intensity, grey, 0 to 1, or an absolute difference, 0 to 0.3."""

    pixels: np.ndarray
    caption: str = ""
    is_difference: bool = False


def shown_slices(data: np.ndarray) -> dict[str, np.ndarray]:
    """Cut a volume, shape (X, Y, Z) in RAS+, at `SHOWN_FRACTIONS`; anterior or superior is up, the left is left."""
    slices = {}
    for plane, axis in PLANES.items():
        index = int(SHOWN_FRACTIONS[axis] * data.shape[axis])
        slices[plane] = np.ascontiguousarray(np.take(data, index, axis=axis).T[::-1])
    return slices


def draw_tiles(rows: Sequence[Sequence[Tile]], columns: Sequence[str], title: str = "") -> Figure:
    """Draw rows of tiles on black, with a name above each column."""
    heights = [max(tile.pixels.shape[0] / tile.pixels.shape[1] for tile in row) for row in rows]
    captioned = sum(any(tile.caption for tile in row) for row in rows)
    figure = Figure(
        figsize=(TILE_INCHES * len(columns), TILE_INCHES * sum(heights) + 0.2 * captioned + 0.5),
        facecolor="black",
        layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01),
    )
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, color="white", fontsize=10)
    axes = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=heights)
    for axes_row, row in zip(axes, rows, strict=True):
        for axis, tile in zip(axes_row, row, strict=True):
            limit, colours = (DIFFERENCE_LIMIT, "magma") if tile.is_difference else (1.0, "gray")
            axis.imshow(tile.pixels, cmap=colours, vmin=0, vmax=limit, interpolation="nearest")
            axis.set(facecolor="black", xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.set_xlabel(tile.caption, color="white", fontsize=7, labelpad=2)
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(name, color="white", fontsize=8)
    return figure


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_FILE_DPI, facecolor=figure.get_facecolor())


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, for a page; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PAGE_DPI, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()
