"""A study as plots: PNGs for a report, and plotly fragments for a page."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
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
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bmenet.config.tune import SECONDS
from bmenet.figures import save_figure

__all__ = ["draw", "plotly_parts"]

_FEWEST_FOR_IMPORTANCE = 8
_NAMED_FRONT = 12
_REACHES = 4
"""Trials of a Pareto front that get their number; more would hide one another."""

_PANELS_A_ROW = 4
_WIDE = 100
"""From the least to the largest value of a logarithmic axis: a wider one has ticks at powers of ten alone."""

_CORNERS = 3
"""Of a triangle: fewer points, or values of a parameter, span no surface to colour."""

_PAGE_HEIGHT = 430
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#1b2228"}
_COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf"]
_STATE_COLOURS = {"COMPLETE": _COLOURS[0], "PRUNED": "#8c8c8c", "FAIL": _COLOURS[3], "RUNNING": _COLOURS[2]}
_LONGEST_LEGEND = 8
_DEFAULT_LABEL = "current parameters"
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
    with _quiet():
        views = [_view(study, [number]) for number in range(len(objectives))]
        labels = [_label(study, name) for name in objectives]
        main = _main(objectives)
        importances = [_importances(view) for view in views]
        across = _across(objectives) if len(objectives) == 2 else []
        figures = {
            "history": _history(views, labels),
            "pareto": _pareto(_view(study, across), [labels[number] for number in across], views[main])
            if across
            else None,
            "importance": _importance(importances, objectives),
            "slice": _slice(views[main], labels[main]),
            "contour": _contour(views[main], labels[main], _pair(views[main], importances[main])),
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


def plotly_parts(study: optuna.Study, objectives: list[str]) -> dict[str, str]:
    """Return the plots of a study as HTML; plotly.js is not in it.

    Parameters
    ----------
    study, objectives
        As of `draw`.

    Returns
    -------
    dict
        history, importance, slice, contour, parallel, intermediate and timeline, with two objectives pareto too, to a
        fragment, or to a sentence why there is none. History, importance and slice hold a plot an objective.
    """
    from optuna import visualization as show

    with _quiet():
        views = [_view(study, [number]) for number in range(len(objectives))]
        labels = [_label(study, name) for name in objectives]
        main = _main(objectives)
        view, name = views[main], objectives[main]
        importances = [_importances(one) for one in views]
        count = len(_complete(view))
        names = _varying(view)
        started = [trial for trial in view.trials if trial.datetime_start]
        reported = any(trial.intermediate_values for trial in view.trials)

        none_complete = "No trial is complete yet."
        few = f"This takes two complete trials with different parameters; there are {count} complete."
        no_importance = (
            f"This takes {_FEWEST_FOR_IMPORTANCE} complete trials with different results, and two parameters that vary;"
            f" there are {count} complete and {len(names)} that vary."
        )
        no_pair = "This takes two parameters that are numbers." if any(importances) else no_importance
        parts: dict[str, str] = {}

        def add(part: str, figures: Callable[[], Sequence[Any]], possible: bool, otherwise: str) -> None:
            parts[part] = (
                "".join(_fragment(f"{part}-{number}", figure) for number, figure in enumerate(figures()))
                if possible
                else otherwise
            )

        add(
            "history",
            lambda: [
                _marked(show.plot_optimization_history(one, target_name=label), one).update_yaxes(range=_window(one))
                for one, label in zip(views, labels, strict=True)
            ],
            count > 0,
            none_complete,
        )
        if len(objectives) == 2:
            across = _across(objectives)
            add(
                "pareto",
                lambda: [_plotly_pareto(_view(study, across), [labels[number] for number in across])],
                count > 0,
                none_complete,
            )
        add(
            "importance",
            lambda: [
                show.plot_param_importances(
                    one, evaluator=FanovaImportanceEvaluator(seed=0), params=list(found), target_name=objective
                )
                .update_xaxes(title=f"share of the variation of {objective} (fANOVA)")
                .update_yaxes(title=None)
                .update_traces(marker_color=_COLOURS[0])
                for one, objective, found in zip(views, objectives, importances, strict=True)
                if found
            ],
            any(importances),
            no_importance,
        )
        add(
            "slice",
            lambda: [
                show.plot_slice(one, params=list(some), target_name=label).update_yaxes(range=_window(one))
                for one, label in zip(views, labels, strict=True)
                for some in np.array_split(sorted(names), math.ceil(len(names) / _PANELS_A_ROW))
            ],
            bool(names),
            few,
        )
        pair = _pair(view, importances[main])
        add("contour", lambda: [show.plot_contour(view, params=pair, target_name=name)], bool(pair), no_pair)
        add(
            "parallel",
            lambda: [show.plot_parallel_coordinate(view, params=names, target_name=name)],
            bool(names),
            few,
        )
        add(
            "intermediate",
            lambda: [
                show.plot_intermediate_values(view).update_layout(xaxis_title="step", yaxis_title=labels[main]),
            ],
            reported,
            "No trial reported a value on its way, so none could be pruned.",
        )
        add("timeline", lambda: [_recoloured(show.plot_timeline(view))], bool(started), "No trial has begun yet.")
    return parts


def _pair(view: optuna.Study, importances: dict[str, float]) -> list[str]:
    """Return the two most important parameters that are numbers; between choices nothing can be interpolated."""
    trials = _complete(view)
    numbers = [name for name in importances if not isinstance(_distribution(trials, name), CategoricalDistribution)]
    return numbers[:2] if len(numbers) > 1 else []


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling what it creates here, and that plots are experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _view(study: optuna.Study, objectives: Sequence[int]) -> optuna.Study:
    """Return a study in memory with some of the objectives, short parameter names, and no attribute but is_default.

    What other attributes tell, such as where a trial ran, must not get into a plot.
    """
    trials = study.get_trials(deepcopy=False)
    short = _short({name: None for trial in trials for name in trial.params})
    view = optuna.create_study(study_name="study", directions=[study.directions[number] for number in objectives])
    for trial in trials:
        view.add_trial(
            FrozenTrial(
                number=trial.number,
                trial_id=trial.number,
                state=trial.state,
                value=None,
                values=[trial.values[number] for number in objectives] if trial.values else None,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
                params={short[name]: value for name, value in trial.params.items()},
                distributions={short[name]: value for name, value in trial.distributions.items() if name in short},
                user_attrs={"is_default": True} if trial.user_attrs.get("is_default") is True else {},
                system_attrs={},
                intermediate_values=trial.intermediate_values if len(objectives) == 1 else {},
            )
        )
    return view


def _short(names: dict[str, None]) -> dict[str, str]:
    """Return names without the sections that all of them have in common."""
    sections = [name.split(".")[:-1] for name in names]
    common = list(takewhile(lambda level: len(set(level)) == 1, zip(*sections, strict=False)))
    return {name: ".".join(name.split(".")[len(common) :]) for name in names}


def _label(study: optuna.Study, objective: str) -> str:
    """Return what an axis says about an objective."""
    if objective == SECONDS:
        return "seconds a volume"
    return f"{objective}, gain over {study.user_attrs.get('gain_over', 'the coarse result')}"


def _main(objectives: Sequence[str]) -> int:
    """Return which objective is shown where there is room for one only: the first that is not the time."""
    return next((number for number, name in enumerate(objectives) if name != SECONDS), 0)


def _complete(view: optuna.Study) -> list[FrozenTrial]:
    """Return the trials with values that can be drawn."""
    trials = view.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if all(map(math.isfinite, trial.values))]


def _default(view: optuna.Study) -> FrozenTrial | None:
    """Return the complete trial of the current parameters."""
    return next((trial for trial in _complete(view) if trial.user_attrs.get("is_default")), None)


def _best(view: optuna.Study) -> FrozenTrial:
    """Return the best complete trial of a study with one objective; there must be one."""
    choose = max if view.direction == StudyDirection.MAXIMIZE else min
    return choose(_complete(view), key=lambda trial: trial.values[0])


def _varying(view: optuna.Study) -> list[str]:
    """Return the parameters that all complete trials have, and not all with one value."""
    params = [trial.params for trial in _complete(view)]
    shared = [name for name in (params[0] if params else {}) if all(name in of_trial for of_trial in params)]
    return [name for name in shared if len({of_trial[name] for of_trial in params}) > 1]


def _importances(view: optuna.Study) -> dict[str, float]:
    """Return how much of the objective's variation each parameter explains, the most first; {} if too little is known.

    The forest of fANOVA is seeded: the same trials give the same numbers.
    """
    complete, names = _complete(view), _varying(view)
    if len(complete) < _FEWEST_FOR_IMPORTANCE or len(names) < 2 or len({trial.values[0] for trial in complete}) < 2:
        return {}
    return get_param_importances(view, evaluator=FanovaImportanceEvaluator(seed=0), params=names)


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
    complete = _complete(view)
    numbers = [trial.number for trial in complete]
    values = [trial.values[0] for trial in complete]
    if complete:
        gather = np.maximum if _is_raised(view) else np.minimum
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
    if default := _default(view):
        axes.scatter([default.number], default.values, zorder=4, label=_DEFAULT_LABEL, **_DEFAULT_STYLE)


def _window(view: optuna.Study) -> tuple[float, float] | None:
    """Return the values to look at, if a few bad trials would press all others into a line; else None.

    From the best to four times as far as the middle one lies from it.
    """
    values = np.array([trial.values[0] for trial in _complete(view)])
    if len(values) < _FEWEST_FOR_IMPORTANCE:
        return None
    best, worst = (values.max(), values.min()) if _is_raised(view) else (values.min(), values.max())
    reach = np.median(values) - best
    if reach == 0 or abs(worst - best) < 2 * _REACHES * abs(reach):
        return None
    return tuple(sorted((float(best - 0.4 * reach), float(best + _REACHES * reach))))  # type: ignore[return-value]


def _look_closely(axes: Axes, view: optuna.Study) -> None:
    """Leave out of sight what is far worse than most, and say how many trials that are."""
    if window := _window(view):
        axes.set_ylim(*window)
        beyond = sum(not window[0] <= trial.values[0] <= window[1] for trial in _complete(view))
        axes.set_title(f"{beyond} complete trials, far worse, lie beyond", fontsize=8, color="0.3", loc="left")


def _is_raised(view: optuna.Study) -> bool:
    return view.direction == StudyDirection.MAXIMIZE


def _pareto(view: optuna.Study, labels: Sequence[str], upward: optuna.Study) -> Figure | None:
    """Plot the second objective, that of `upward`, against the first; the front is what nothing beats in both."""
    complete = _complete(view)
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
    if default := _default(view):
        axes.scatter([default.values[0]], [default.values[1]], zorder=4, label=_DEFAULT_LABEL, **_DEFAULT_STYLE)
    axes.margins(0.07)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title("Numbers are trials", fontsize=8, color="0.3", loc="right")
    _look_closely(axes, upward)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _across(objectives: Sequence[str]) -> list[int]:
    """Return which of two objectives goes to the right, the time if it is one of them, and which up."""
    return [0, 1] if objectives[0] == SECONDS else [1, 0]


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
    names, complete = _varying(view), _complete(view)
    if not names:
        return None
    columns = min(len(names), _PANELS_A_ROW)
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
    complete = _complete(view)
    if window := _window(view):
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
        distribution, places = _distribution(trials, name), np.array(_places(trials, name), dtype=float)
        if len(set(places)) < _CORNERS:
            return None
        scaled = np.log(places) if getattr(distribution, "log", False) else places
        unit.append((scaled - scaled.min()) / np.ptp(scaled))
    try:
        return Triangulation(*unit).triangles
    except (RuntimeError, ValueError):  # all on one line
        return None


def _distribution(trials: Sequence[FrozenTrial], name: str) -> BaseDistribution:
    return trials[0].distributions[name]


def _places(trials: Sequence[FrozenTrial], name: str) -> list[float]:
    """Return where the values of a parameter stand on an axis: choices at 0, 1, 2, ..."""
    distribution = _distribution(trials, name)
    values = [trial.params[name] for trial in trials]
    if isinstance(distribution, CategoricalDistribution):
        return [float(distribution.to_internal_repr(value)) for value in values]
    return [float(value) for value in values]


def _scale(axes: Axes, side: str, trials: Sequence[FrozenTrial], name: str) -> None:
    """Name an axis after a parameter, with its scale or its choices."""
    distribution = _distribution(trials, name)
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
    axes.scatter(*place(_best(view)), zorder=5, **_BEST_STYLE)
    if default := _default(view):
        axes.scatter(*place(default), zorder=4, **_DEFAULT_STYLE)


def _legend_of_marks(figure: Figure, view: optuna.Study) -> None:
    """Say above a figure what `_mark` drew."""
    handles = [Line2D([], [], ls="", marker="o", ms=9, mfc="none", mec="tab:red", mew=1.6, label="best")]
    if _default(view):
        handles.append(Line2D([], [], ls="", marker="*", ms=12, mfc="gold", mec="black", mew=0.8, label=_DEFAULT_LABEL))
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside upper left", ncols=2)


def _plotly_pareto(view: optuna.Study, labels: Sequence[str]) -> Any:
    """Return the front as a plotly figure; the first objective is to the right."""
    from optuna.visualization import plot_pareto_front

    figure = plot_pareto_front(view, target_names=list(labels))
    if default := _default(view):
        _add_mark(figure, *default.values)
    return figure


def _marked(figure: Any, view: optuna.Study) -> Any:
    """Mark the trial of the current parameters in a plotly history."""
    if default := _default(view):
        _add_mark(figure, default.number, default.values[0])
    figure.update_traces({"name": "best so far", "line_shape": "hv"}, {"name": "Best Value"})
    return figure.update_xaxes(title="trial")


def _recoloured(timeline: Any) -> Any:
    """Give the states in a plotly timeline the colours that they have in the history."""
    for state, colour in _STATE_COLOURS.items():
        timeline.update_traces({"marker_color": colour}, {"name": state})
    return timeline.update_xaxes(title="time").update_yaxes(title="trial")


def _add_mark(figure: Any, x: float, y: float) -> None:
    mark = {"symbol": "star", "size": 14, "color": "gold", "line": {"color": "black", "width": 1}}
    figure.add_scatter(x=[x], y=[y], mode="markers", name=_DEFAULT_LABEL, marker=mark)


def _fragment(name: str, figure: Any) -> str:
    """Return a plotly figure as HTML in the look of the page; its heading is the page's."""
    figure.update_layout(
        template="plotly_white",
        title=None,
        width=None,
        height=_PAGE_HEIGHT,
        paper_bgcolor="rgba(0,0,0,0)",
        font=_FONT,
        margin={"l": 70, "r": 30, "t": 40, "b": 60},
        colorway=_COLOURS,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        **({"showlegend": False} if len(figure.data) > _LONGEST_LEGEND else {}),
    )
    config = {"displaylogo": False, "responsive": True}
    return figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=f"plotly-{name}")
