"""How an objective goes with the parameters: one by one, and two at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.tri import Triangulation
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from bmenet.tuning.plot_parts import DEFAULT_STYLE, figure_with_axes, look_closely
from bmenet.tuning.study_view import (
    DEFAULT_LABEL,
    PANELS_A_ROW,
    best_of,
    complete_trials,
    default_trial,
    distribution_of,
    varying_names,
    window_of,
)

_WIDE = 100
"""From the least to the largest value of a logarithmic axis: a wider one has ticks at powers of ten alone."""

_CORNERS = 3
"""Of a triangle: fewer points, or values of a parameter, span no surface to colour."""

_BEST_STYLE: dict[str, Any] = {"s": 110, "facecolors": "none", "edgecolors": "tab:red", "linewidths": 1.6}


def plot_slice(view: optuna.Study, label: str) -> Figure | None:
    """Plot the objective against each parameter, a panel each."""
    names, complete = varying_names(view), complete_trials(view)
    if not names:
        return None
    columns = min(len(names), PANELS_A_ROW)
    rows = math.ceil(len(names) / columns)
    figure, all_axes = figure_with_axes(max(5.5, 2.6 * columns + 1.2), 2.9 * rows + 0.4, rows, columns, share_y=True)
    values = [trial.values[0] for trial in complete]
    points = None
    for axes, name in zip(all_axes, names, strict=False):
        places = _places(complete, name)
        points = axes.scatter(
            places, values, s=24, c=[trial.number for trial in complete], cmap="Blues", ec="0.35", lw=0.4
        )
        _mark(axes, view, lambda trial, name=name: (_places([trial], name)[0], trial.values[0]))  # type: ignore[misc]
        _scale(axes, "x", complete, name)
    look_closely(all_axes[0], view)
    for axes in all_axes[len(names) :]:
        axes.set_visible(False)
    if points is not None:
        bar = figure.colorbar(points, ax=all_axes, label="trial", pad=0.01, aspect=30)
        bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel(label, fontsize=10)
    _legend_of_marks(figure, view)
    return figure


def plot_contour(view: optuna.Study, label: str, names: Sequence[str]) -> Figure | None:
    """Plot the objective over two parameters, between the trials interpolated; far worse ones are left out."""
    if not names:
        return None
    complete = complete_trials(view)
    if window := window_of(view):
        complete = [trial for trial in complete if window[0] <= trial.values[0] <= window[1]]
    x, y = names
    x_places, y_places = _places(complete, x), _places(complete, y)
    values = np.array([trial.values[0] for trial in complete])
    figure, (axes,) = figure_with_axes(7, 4.8)
    style: dict[str, Any] = {"cmap": "viridis", "vmin": values.min(), "vmax": values.max()}
    triangles = _triangles(complete, names)
    if triangles is not None:
        levels = np.linspace(values.min(), values.max(), 15)
        axes.tricontourf(Triangulation(x_places, y_places, triangles), values, levels, alpha=0.75, **style)
    points = axes.scatter(x_places, y_places, s=34, c=values, ec="white", lw=0.8, zorder=3, **style)
    _mark(axes, view, lambda trial: (_places([trial], x)[0], _places([trial], y)[0]))
    _scale(axes, "x", complete, x)
    _scale(axes, "y", complete, y)
    axes.use_sticky_edges = False  # of the coloured surface: they would cut the points at its rim
    axes.margins(0.04)
    figure.colorbar(points, ax=axes, label=label)
    _legend_of_marks(figure, view)
    return figure


def _triangles(trials: Sequence[FrozenTrial], names: Sequence[str]) -> np.ndarray | None:
    """Return the triangles between trials, each side of the plane scaled to [0, 1]; None where they span no surface."""
    unit = []
    for name in names:
        distribution, places = distribution_of(trials, name), np.array(_places(trials, name), dtype=float)
        if len(set(places)) < _CORNERS:
            return None
        scaled = np.log(places) if getattr(distribution, "log", False) else places
        unit.append((scaled - scaled.min()) / np.ptp(scaled))
    try:
        return Triangulation(*unit).triangles
    except (RuntimeError, ValueError):  # all on one line
        return None


def _places(trials: Sequence[FrozenTrial], name: str) -> list[float]:
    """Return where the values of a parameter stand on an axis: choices at 0, 1, 2, ..."""
    distribution = distribution_of(trials, name)
    values = [trial.params[name] for trial in trials]
    if isinstance(distribution, CategoricalDistribution):
        return [float(distribution.to_internal_repr(value)) for value in values]
    return [float(value) for value in values]


def _scale(axes: Axes, side: str, trials: Sequence[FrozenTrial], name: str) -> None:
    """Name an axis after a parameter, with its scale or its choices."""
    distribution = distribution_of(trials, name)
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_label_text(name)
    if isinstance(distribution, CategoricalDistribution):
        axis.set_ticks(range(len(distribution.choices)), [str(choice) for choice in distribution.choices])
        (axes.set_xlim if side == "x" else axes.set_ylim)(-0.5, len(distribution.choices) - 0.5)
    elif getattr(distribution, "log", False):
        (axes.set_xscale if side == "x" else axes.set_yscale)("log")
        places = _places(trials, name)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(places) < _WIDE * min(places) else (1,), numticks=7))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        whole = all(isinstance(trial.params[name], int) for trial in trials)
        axis.set_major_locator(MaxNLocator(5, integer=whole))


def _mark(axes: Axes, view: optuna.Study, place: Callable[[FrozenTrial], tuple[float, float]]) -> None:
    """Mark the best trial and that of the current parameters."""
    axes.scatter(*place(best_of(view)), zorder=5, **_BEST_STYLE)
    if default := default_trial(view):
        axes.scatter(*place(default), zorder=4, **DEFAULT_STYLE)


def _legend_of_marks(figure: Figure, view: optuna.Study) -> None:
    """Say above a figure what `_mark` drew."""
    handles = [Line2D([], [], ls="", marker="o", ms=9, mfc="none", mec="tab:red", mew=1.6, label="best")]
    if default_trial(view):
        handles.append(Line2D([], [], ls="", marker="*", ms=12, mfc="gold", mec="black", mew=0.8, label=DEFAULT_LABEL))
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside upper left", ncols=2)
