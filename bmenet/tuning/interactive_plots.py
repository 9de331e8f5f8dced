"""A study as plots to be played with: fragments of HTML for a page, drawn by plotly."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.importance import FanovaImportanceEvaluator

from bmenet.tuning.study_view import (
    DEFAULT_LABEL,
    FEWEST_FOR_IMPORTANCE,
    PANELS_A_ROW,
    complete_trials,
    default_trial,
    importances_of,
    label_of,
    main_objective,
    numeric_pair,
    quietly,
    right_and_up,
    varying_names,
    view_of,
    window_of,
)

_PAGE_HEIGHT = 430
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "#1b2228"}
_COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf"]
_STATE_COLOURS = {"COMPLETE": _COLOURS[0], "PRUNED": "#8c8c8c", "FAIL": _COLOURS[3], "RUNNING": _COLOURS[2]}
_LONGEST_LEGEND = 8


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

    with quietly():
        views = [view_of(study, [number]) for number in range(len(objectives))]
        labels = [label_of(study, name) for name in objectives]
        main = main_objective(objectives)
        view, name = views[main], objectives[main]
        importances = [importances_of(one) for one in views]
        count = len(complete_trials(view))
        names = varying_names(view)
        started = [trial for trial in view.trials if trial.datetime_start]
        reported = any(trial.intermediate_values for trial in view.trials)

        none_complete = "No trial is complete yet."
        few = f"This takes two complete trials with different parameters; there are {count} complete."
        no_importance = (
            f"This takes {FEWEST_FOR_IMPORTANCE} complete trials with different results, and two parameters that vary;"
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
                _marked(show.plot_optimization_history(one, target_name=label), one).update_yaxes(range=window_of(one))
                for one, label in zip(views, labels, strict=True)
            ],
            count > 0,
            none_complete,
        )
        if len(objectives) == 2:
            across = right_and_up(objectives)
            add(
                "pareto",
                lambda: [_plotly_pareto(view_of(study, across), [labels[number] for number in across])],
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
                show.plot_slice(one, params=list(some), target_name=label).update_yaxes(range=window_of(one))
                for one, label in zip(views, labels, strict=True)
                for some in np.array_split(sorted(names), math.ceil(len(names) / PANELS_A_ROW))
            ],
            bool(names),
            few,
        )
        pair = numeric_pair(view, importances[main])
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


def _plotly_pareto(view: optuna.Study, labels: Sequence[str]) -> Any:
    """Return the front as a plotly figure; the first objective is to the right."""
    from optuna.visualization import plot_pareto_front

    figure = plot_pareto_front(view, target_names=list(labels))
    if default := default_trial(view):
        _add_mark(figure, *default.values)
    return figure


def _marked(figure: Any, view: optuna.Study) -> Any:
    """Mark the trial of the current parameters in a plotly history."""
    if default := default_trial(view):
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
    figure.add_scatter(x=[x], y=[y], mode="markers", name=DEFAULT_LABEL, marker=mark)


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
