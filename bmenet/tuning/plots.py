"""A study as pictures: PNGs for a report."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.tri import Triangulation
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from bmenet.figures import save_figure
from bmenet.tuning.study_view import (
    DEFAULT_LABEL,
    PANELS_A_ROW,
    best_of,
    complete_trials,
    default_trial,
    distribution_of,
    importances_of,
    is_raised,
    label_of,
    main_objective,
    numeric_pair,
    quietly,
    right_and_up,
    varying_names,
    view_of,
    window_of,
)

_NAMED_FRONT = 12
"""Trials of a Pareto front that get their number; more would hide one another."""

_WIDE = 100
"""From the least to the largest value of a logarithmic axis: a wider one has ticks at powers of ten alone."""

_CORNERS = 3
"""Of a triangle: fewer points, or values of a parameter, span no surface to colour."""

_DEFAULT_STYLE: dict[str, Any] = {"marker": "*", "s": 170, "color": "gold", "edgecolors": "black", "linewidths": 0.8}
_BEST_STYLE: dict[str, Any] = {"s": 110, "facecolors": "none", "edgecolors": "tab:red", "linewidths": 1.6}
_STILLS = ("history", "pareto", "importance", "slice", "contour")


def draw(study: optuna.Study, objectives: list[str], folder: Path) -> list[Path]:
    """Write the plots of a study that its trials suffice for, and remove those of an earlier call that they do not.

    Of the trials, the one whose user attribute ``is_default`` is True is marked as that of the current parameters. The
    user attribute ``gain_over`` of the study may name what a composite is a gain over, if not the coarse result.

    Parameters
    ----------
    study : Study
        Its trials may be in any state.
    objectives : list of str
        The names of its objectives, in its order.
    folder : Path

    Returns
    -------
    list of Path
        Those of history.png, pareto.png, importance.png, slice.png and contour.png that were written.
    """
    with quietly():
        views = [view_of(study, [number]) for number in range(len(objectives))]
        labels = [label_of(study, name) for name in objectives]
        main = main_objective(objectives)
        importances = [importances_of(view) for view in views]
        across = right_and_up(objectives) if len(objectives) == 2 else []
        figures = {
            "history": _history(views, labels),
            "pareto": _pareto(view_of(study, across), [labels[number] for number in across], views[main])
            if across
            else None,
            "importance": _importance(importances, objectives),
            "slice": _slice(views[main], labels[main]),
            "contour": _contour(views[main], labels[main], numeric_pair(views[main], importances[main])),
        }
    written = []
    for name in _STILLS:
        path = folder / f"{name}.png"
        if figure := figures[name]:
            save_figure(path, figure)
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return written


def _figure(
    width: float, height: float, rows: int = 1, columns: int = 1, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure, inches, with its axes row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _history(views: Sequence[optuna.Study], labels: Sequence[str]) -> Figure | None:
    """Plot the value of each trial and the best so far, an objective below the other."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    if not any(trial.state in ended for trial in views[0].get_trials(deepcopy=False)):
        return None
    figure, all_axes = _figure(8.5, 3.6 * len(views), rows=len(views))
    for axes, view, label in zip(all_axes, views, labels, strict=True):
        _history_of_one(axes, view)
        _look_closely(axes, view)
        axes.set_ylabel(label)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _history_of_one(axes: Axes, view: optuna.Study) -> None:
    trials = view.get_trials(deepcopy=False)
    complete = complete_trials(view)
    numbers = [trial.number for trial in complete]
    values = [trial.values[0] for trial in complete]
    if complete:
        gather = np.maximum if is_raised(view) else np.minimum
        best = gather.accumulate(values)
        last = trials[-1].number
        axes.step([*numbers, last], [*best, best[-1]], where="post", color="tab:orange", lw=1.5, label="best so far")
        axes.scatter(numbers, values, s=22, color="tab:blue", zorder=3, label="complete")
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    reached = {
        trial.number: trial.intermediate_values[max(trial.intermediate_values)]
        for trial in pruned
        if trial.intermediate_values
    }
    if reached:
        axes.scatter(
            list(reached), list(reached.values()), s=30, marker="x", lw=1, color="0.55", zorder=3, label="pruned, last"
        )
    at_the_foot = {
        "pruned": ([trial.number for trial in pruned if trial.number not in reached], "0.55"),
        "failed or put back": ([trial.number for trial in trials if trial.state == TrialState.FAIL], "tab:red"),
    }
    for name, (places, colour) in at_the_foot.items():
        if places:
            axes.scatter(
                places,
                np.full(len(places), 0.02),
                s=30,
                marker="x",
                lw=1.2,
                color=colour,
                label=name,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
    if default := default_trial(view):
        axes.scatter([default.number], default.values, zorder=4, label=DEFAULT_LABEL, **_DEFAULT_STYLE)


def _look_closely(axes: Axes, view: optuna.Study) -> None:
    """Leave out of sight what is far worse than most, and say how many trials that are."""
    if window := window_of(view):
        axes.set_ylim(*window)
        beyond = sum(not window[0] <= trial.values[0] <= window[1] for trial in complete_trials(view))
        axes.set_title(f"{beyond} complete trials, far worse, lie beyond", fontsize=8, color="0.3", loc="left")


def _pareto(view: optuna.Study, labels: Sequence[str], upward: optuna.Study) -> Figure | None:
    """Plot the second objective, that of `upward`, against the first; the front is what nothing beats in both."""
    complete = complete_trials(view)
    if not complete:
        return None
    front = sorted((trial for trial in view.best_trials if trial in complete), key=lambda trial: trial.values[0])
    figure, (axes,) = _figure(7.5, 4.4)
    others = [trial for trial in complete if trial not in front]
    if others:
        axes.scatter(
            [trial.values[0] for trial in others],
            [trial.values[1] for trial in others],
            s=26,
            color="tab:blue",
            alpha=0.6,
            label="complete",
        )
    at = ([trial.values[0] for trial in front], [trial.values[1] for trial in front])
    axes.plot(*at, "o-", color="tab:orange", ms=6, lw=1.2, label="Pareto front")
    for rank, trial in enumerate(front if len(front) <= _NAMED_FRONT else []):
        place, offset = (trial.values[0], trial.values[1]), (6, 5 if rank % 2 else -11)  # neighbours may be close
        axes.annotate(str(trial.number), place, offset, textcoords="offset points", fontsize=8, color="0.3")
    if default := default_trial(view):
        axes.scatter([default.values[0]], [default.values[1]], zorder=4, label=DEFAULT_LABEL, **_DEFAULT_STYLE)
    axes.margins(0.07)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title("Numbers are trials", fontsize=8, color="0.3", loc="right")
    _look_closely(axes, upward)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _importance(importances: Sequence[dict[str, float]], objectives: Sequence[str]) -> Figure | None:
    """Plot bars, a panel an objective."""
    shown = {name: found for name, found in zip(objectives, importances, strict=True) if found}
    if not shown:
        return None
    rows = max(map(len, shown.values()))
    figure, all_axes = _figure(max(6, 4.4 * len(shown)), 1.1 + 0.36 * rows, columns=len(shown))
    for axes, (name, found) in zip(all_axes, shown.items(), strict=True):
        bars = axes.barh(list(found), list(found.values()), 0.7, color="tab:blue")
        axes.bar_label(bars, [_share(value) for value in found.values()], padding=4, fontsize=8, color="0.3")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.14 * max(found.values()))
        axes.set_xlabel(f"share of the variation of {name} (fANOVA)")
    return figure


def _share(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"


def _slice(view: optuna.Study, label: str) -> Figure | None:
    """Plot the objective against each parameter, a panel each."""
    names, complete = varying_names(view), complete_trials(view)
    if not names:
        return None
    columns = min(len(names), PANELS_A_ROW)
    rows = math.ceil(len(names) / columns)
    figure, all_axes = _figure(max(5.5, 2.6 * columns + 1.2), 2.9 * rows + 0.4, rows, columns, share_y=True)
    values = [trial.values[0] for trial in complete]
    points = None
    for axes, name in zip(all_axes, names, strict=False):
        places = _places(complete, name)
        points = axes.scatter(
            places, values, s=24, c=[trial.number for trial in complete], cmap="Blues", ec="0.35", lw=0.4
        )
        _mark(axes, view, lambda trial, name=name: (_places([trial], name)[0], trial.values[0]))  # type: ignore[misc]
        _scale(axes, "x", complete, name)
    _look_closely(all_axes[0], view)
    for axes in all_axes[len(names) :]:
        axes.set_visible(False)
    if points is not None:
        bar = figure.colorbar(points, ax=all_axes, label="trial", pad=0.01, aspect=30)
        bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.supylabel(label, fontsize=10)
    _legend_of_marks(figure, view)
    return figure


def _contour(view: optuna.Study, label: str, names: Sequence[str]) -> Figure | None:
    """Plot the objective over two parameters, between the trials interpolated; far worse ones are left out."""
    if not names:
        return None
    complete = complete_trials(view)
    if window := window_of(view):
        complete = [trial for trial in complete if window[0] <= trial.values[0] <= window[1]]
    x, y = names
    x_places, y_places = _places(complete, x), _places(complete, y)
    values = np.array([trial.values[0] for trial in complete])
    figure, (axes,) = _figure(7, 4.8)
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
        axes.scatter(*place(default), zorder=4, **_DEFAULT_STYLE)


def _legend_of_marks(figure: Figure, view: optuna.Study) -> None:
    """Say above a figure what `_mark` drew."""
    handles = [Line2D([], [], ls="", marker="o", ms=9, mfc="none", mec="tab:red", mew=1.6, label="best")]
    if default_trial(view):
        handles.append(Line2D([], [], ls="", marker="*", ms=12, mfc="gold", mec="black", mew=0.8, label=DEFAULT_LABEL))
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside upper left", ncols=2)
