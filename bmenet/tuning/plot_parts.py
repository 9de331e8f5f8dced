"""What all plots of a study share: their frame, the star of the current parameters, and where they look."""

from typing import Any

import optuna
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.tuning.study_view import (
    complete_trials,
    window_of,
)

DEFAULT_STYLE: dict[str, Any] = {"marker": "*", "s": 170, "color": "gold", "edgecolors": "black", "linewidths": 0.8}


def figure_with_axes(
    width: float, height: float, rows: int = 1, columns: int = 1, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure, inches, with its axes row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def look_closely(axes: Axes, view: optuna.Study) -> None:
    """Leave out of sight what is far worse than most, and say how many trials that are."""
    if window := window_of(view):
        axes.set_ylim(*window)
        beyond = sum(not window[0] <= trial.values[0] <= window[1] for trial in complete_trials(view))
        axes.set_title(f"{beyond} complete trials, far worse, lie beyond", fontsize=8, color="0.3", loc="left")
