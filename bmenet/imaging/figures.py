"""Pictures of volumes, and the calibration plot; drawn off screen, with no global state."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bmenet.config import CalibrationConfig
from bmenet.degradation.calibration import CALIBRATED_CODE
from bmenet.evaluation.metrics.fidelity import psnr
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
    """One picture in a figure.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
    caption : str
        Shown under it.
    is_difference : bool
        Whether it is an absolute difference (colours, 0 to 0.3) and not an intensity (grey, 0 to 1).
    """

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


def panel(volumes: Mapping[str, np.ndarray], title: str, reference: str = "clean") -> Figure:
    """Show volumes side by side in three planes, then how far each is from the reference.

    Parameters
    ----------
    volumes : mapping of str to ndarray, shape (X, Y, Z)
        Name to unit intensities; `reference` is one of the names.
    title : str
    """
    clean = volumes[reference]
    cuts = {name: shown_slices(data) for name, data in volumes.items()}
    others = [name for name in volumes if name != reference]
    captions = {name: f"{psnr(volumes[name], clean):.2f} dB" for name in others}
    last = list(PLANES)[-1]
    rows = [
        [Tile(cuts[name][plane], captions.get(name, "") if plane == last else "") for name in volumes]
        + [Tile(np.abs(cuts[name][plane] - cuts[reference][plane]), is_difference=True) for name in others]
        for plane in PLANES
    ]
    return draw_tiles(rows, [*volumes, *(f"error of\n{name}" for name in others)], title)


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
            _draw_tile(axis, tile)
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


def calibration_figure(rows: Sequence[Mapping], calibration: CalibrationConfig) -> Figure:
    """Plot the PSNR of every degraded volume by code; a band at code 111 shows the published level.

    Parameters
    ----------
    rows : sequence of mapping
        ``code`` and ``psnr_db`` (None where nothing changed) of each degraded volume.
    calibration : CalibrationConfig
        The published level and its tolerance.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    codes = sorted({row["code"] for row in rows}, key=lambda code: (code.count("1"), -int(code, 2)))
    for place, code in enumerate(codes):
        values = [row["psnr_db"] for row in rows if row["code"] == code and row["psnr_db"] is not None]
        if code == CALIBRATED_CODE:
            low, high = (calibration.psnr_db + side * calibration.tolerance_db for side in (-1, 1))
            label = f"published: {low:.1f} to {high:.1f} dB"
            axes.fill_between([place - 0.45, place + 0.45], low, high, color="tab:orange", alpha=0.3, lw=0, label=label)
            axes.legend(loc="upper right", frameon=False)
        if values:
            # Spread the subjects a little, in order, so that equal values do not hide one another.
            offsets = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(place + offsets, values, ".", color="tab:blue", alpha=0.6)
            axes.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color="black", lw=1.5)
    axes.set_xticks(range(len(codes)), codes)
    axes.set_xlabel("code (motion, noise, bias)")
    axes.set_ylabel("PSNR of the degraded volume (dB)")
    axes.set_title("A point a subject, a bar the mean")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def covariates_figure(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str) -> Figure:
    """Plot predicted against known covariates, a panel each.

    Parameters
    ----------
    pairs : mapping
        Name to known and predicted values, both of shape (N,), in [0, 1].
    title : str
    """
    figure = Figure(figsize=(3 * max(len(pairs), 1), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for axes, (name, (known, predicted)) in zip(
        figure.subplots(1, max(len(pairs), 1), squeeze=False)[0], pairs.items(), strict=False
    ):
        axes.plot([0, 1], [0, 1], color="grey", lw=1)
        axes.plot(known, predicted, ".", color="tab:blue")
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xlabel="known", title=name)
    return figure


def _draw_tile(axes: Axes, tile: Tile) -> None:
    """Draw one picture without ticks, its caption below."""
    limit, colours = (DIFFERENCE_LIMIT, "magma") if tile.is_difference else (1.0, "gray")
    axes.imshow(tile.pixels, cmap=colours, vmin=0, vmax=limit, interpolation="nearest")
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(tile.caption, color="white", fontsize=7, labelpad=2)
