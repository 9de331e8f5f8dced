"""A study drawn by `optuna.visualization`: still pictures, and one page for the browser."""

import base64
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
from optuna import visualization
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState
from plotly.offline import get_plotlyjs

from bmenet.config.tune import SECONDS
from bmenet.imaging.figures import save_figure
from bmenet.runtime.files import write_text

FEWEST_FOR_IMPORTANCE = 8
"""Complete trials: of fewer, importances say nothing."""

_READ = {
    "history": ("History", "A point is a trial, the line the best value so far: flat, nothing better was found."),
    "pareto": ("Pareto front", "Trials of the front are beaten by no other in both objectives."),
    "importance": ("Importance", "The share of the variation that each parameter explains (fANOVA)."),
    "slice": ("Slices", "The value of each trial over one parameter at a time; darker points are later trials."),
    "contour": ("Contour", "The value over the two most important numbers, interpolated between trials."),
    "parallel": ("Parallel coordinates", "A line is a trial; drag along an axis to keep the lines through that range."),
    "intermediate": ("Intermediate values", "A line is a trial as it went on; those that end early were pruned."),
    "timeline": ("Timeline", "When each trial ran, and how it ended."),
    "best": ("Best trial", "A validation subject: clean, given, restored, and the errors."),
}
"""Kind of plot to its heading, and how to read it."""

_STILLS = ("history", "pareto", "importance", "slice", "contour")


def draw_stills(study: optuna.Study, objectives: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write the plots of a study as PNG, and remove those of an earlier call that its trials do not suffice for.

    Returns
    -------
    dict
        Name to file: history, pareto, importance, slice and contour; with two objectives, those of the time have the
        suffix ``_seconds``.
    """
    plt.switch_backend("agg")
    for kind in _STILLS:
        for path in folder.glob(f"{kind}*.png"):
            path.unlink()
    written = {}
    with plt.rc_context(), warnings.catch_warnings():  # optuna sets a style, and says that its stills are experimental
        warnings.simplefilter("ignore")
        for name, (plot, view, options) in _plots(study, objectives).items():
            if name.removesuffix(f"_{SECONDS}") in _STILLS:
                axes = np.ravel(np.asarray(getattr(visualization.matplotlib, plot)(view, **options)))
                figure = axes[0].figure
                figure.set_size_inches(max(8.0, 3.0 * len(axes)), 4.8)
                for panel in axes if len(axes) > 1 else ():  # long names side by side
                    panel.xaxis.label.set_size(7)
                written[name] = folder / f"{name}.png"
                save_figure(written[name], figure)
                plt.close(figure)
    return written


def interactive_plots(study: optuna.Study, objectives: Sequence[str]) -> dict[str, str]:
    """Return the plots of a study as fragments of HTML, name to fragment; plotly.js is not in them."""
    fragments = {}
    for name, (plot, view, options) in _plots(study, objectives).items():
        figure = getattr(visualization, plot)(view, **options)
        figure.update_layout(template="plotly_white", title=None, height=430)
        fragments[name] = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            config={"displaylogo": False, "responsive": True},
            div_id=f"plotly-{name}",
        )
    return fragments


def _plots(study: optuna.Study, objectives: Sequence[str]) -> dict[str, tuple[str, optuna.Study, dict[str, Any]]]:
    """Return name to function of `optuna.visualization`, study, options: the plots that the trials suffice for."""
    plots: dict[str, tuple[str, optuna.Study, dict[str, Any]]] = {}
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return plots
    if len(objectives) == 2:
        order = [0, 1] if objectives[0] == SECONDS else [1, 0]  # the time to the right
        names = [objectives[number] for number in order]
        plots["pareto"] = "plot_pareto_front", _view(study, order), {"target_names": names}
    for number, name in enumerate(objectives):
        suffix, view, target = f"_{SECONDS}" if name == SECONDS else "", _view(study, [number]), {"target_name": name}
        plots["history" + suffix] = "plot_optimization_history", view, target
        plots["slice" + suffix] = "plot_slice", view, target
        if importances := _importances(view):
            evaluator = {"evaluator": FanovaImportanceEvaluator(seed=0)}
            plots["importance" + suffix] = "plot_param_importances", view, evaluator | target
            kinds = view.best_trial.distributions
            numbers = [key for key in importances if not isinstance(kinds[key], CategoricalDistribution)]
            if len(numbers) > 1:
                plots["contour" + suffix] = "plot_contour", view, {"params": numbers[:2]} | target
        plots["parallel" + suffix] = "plot_parallel_coordinate", view, target
        if any(trial.intermediate_values for trial in view.get_trials(deepcopy=False)):
            plots["intermediate"] = "plot_intermediate_values", view, {}
    plots["timeline"] = "plot_timeline", _view(study, range(len(objectives))), {}
    return plots


def _view(study: optuna.Study, objectives: Sequence[int]) -> optuna.Study:
    """Return a copy in memory with some of the objectives and no user attributes, which plots would show."""
    view = optuna.create_study(directions=[study.directions[number] for number in objectives])
    for trial in study.get_trials():
        trial.user_attrs = {}
        if trial.values:
            trial.values = [trial.values[number] for number in objectives]
        view.add_trial(trial)
    return view


def _importances(view: optuna.Study) -> dict[str, float]:
    """Return the share of the variation that each parameter explains, the most first; {} if too little is known."""
    if len(view.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < FEWEST_FOR_IMPORTANCE:
        return {}
    try:
        return get_param_importances(view, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # all values are equal
        return {}


def write_page(
    path: Path,
    title: str,
    facts: Mapping[str, str],
    tables: Mapping[str, pd.DataFrame],
    plots: Mapping[str, str],
    pictures: Mapping[str, Path],
) -> None:
    """Write a study as one HTML file, atomically: it loads nothing from anywhere.

    An empty table is left out. `plots` are fragments of plotly, which go into the page as they are; every other text is
    escaped. `pictures` are PNG, for print.
    """
    environment = jinja2.Environment(loader=jinja2.PackageLoader("bmenet.tuning", "."), autoescape=True)
    read = {}
    for name in [*plots, *pictures]:
        kind, suffix, _ = name.partition(f"_{SECONDS}")
        heading, hint = _READ[kind]
        read[name] = f"{heading}{': seconds' if suffix else ''}", hint
    page = environment.get_template("study.html").render(
        title=title,
        facts=facts,
        tables={
            name: table.to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format)
            for name, table in tables.items()
            if len(table)
        },
        plots=plots,
        pictures={name: base64.b64encode(file.read_bytes()).decode("ascii") for name, file in pictures.items()},
        read=read,
        style=resources.files("bmenet.evaluation.pages").joinpath("report.css").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )
    write_text(path, page)
