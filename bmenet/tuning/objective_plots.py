"""What the trials of a study reached: one after the other, one objective against the other, and by which parameter."""

from collections.abc import Sequence

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import TrialState

from bmenet.tuning.plot_parts import DEFAULT_STYLE, figure_with_axes, look_closely
from bmenet.tuning.study_view import (
    DEFAULT_LABEL,
    complete_trials,
    default_trial,
    is_raised,
)

_NAMED_FRONT = 12
"""Trials of a Pareto front that get their number; more would hide one another."""


def plot_history(views: Sequence[optuna.Study], labels: Sequence[str]) -> Figure | None:
    """Plot the value of each trial and the best so far, an objective below the other."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    if not any(trial.state in ended for trial in views[0].get_trials(deepcopy=False)):
        return None
    figure, all_axes = figure_with_axes(8.5, 3.6 * len(views), rows=len(views))
    for axes, view, label in zip(all_axes, views, labels, strict=True):
        _history_of_one(axes, view)
        look_closely(axes, view)
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
        axes.scatter([default.number], default.values, zorder=4, label=DEFAULT_LABEL, **DEFAULT_STYLE)


def plot_pareto(view: optuna.Study, labels: Sequence[str], upward: optuna.Study) -> Figure | None:
    """Plot the second objective, that of `upward`, against the first; the front is what nothing beats in both."""
    complete = complete_trials(view)
    if not complete:
        return None
    front = sorted((trial for trial in view.best_trials if trial in complete), key=lambda trial: trial.values[0])
    figure, (axes,) = figure_with_axes(7.5, 4.4)
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
        axes.scatter([default.values[0]], [default.values[1]], zorder=4, label=DEFAULT_LABEL, **DEFAULT_STYLE)
    axes.margins(0.07)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title("Numbers are trials", fontsize=8, color="0.3", loc="right")
    look_closely(axes, upward)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def plot_importance(importances: Sequence[dict[str, float]], objectives: Sequence[str]) -> Figure | None:
    """Plot bars, a panel an objective."""
    shown = {name: found for name, found in zip(objectives, importances, strict=True) if found}
    if not shown:
        return None
    rows = max(map(len, shown.values()))
    figure, all_axes = figure_with_axes(max(6, 4.4 * len(shown)), 1.1 + 0.36 * rows, columns=len(shown))
    for axes, (name, found) in zip(all_axes, shown.items(), strict=True):
        bars = axes.barh(list(found), list(found.values()), 0.7, color="tab:blue")
        axes.bar_label(bars, [_share(value) for value in found.values()], padding=4, fontsize=8, color="0.3")
        axes.invert_yaxis()
        axes.set_xlim(0, 1.14 * max(found.values()))
        axes.set_xlabel(f"share of the variation of {name} (fANOVA)")
    return figure


def _share(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else "< 0.01"
