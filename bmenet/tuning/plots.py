"""A study as pictures: PNGs for a report."""

from pathlib import Path

import optuna

from bmenet.imaging.figures import save_figure
from bmenet.tuning.objective_plots import plot_history, plot_importance, plot_pareto
from bmenet.tuning.parameter_plots import plot_contour, plot_slice
from bmenet.tuning.study_view import (
    importances_of,
    label_of,
    main_objective,
    numeric_pair,
    quietly,
    right_and_up,
    view_of,
)

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
            "history": plot_history(views, labels),
            "pareto": plot_pareto(view_of(study, across), [labels[number] for number in across], views[main])
            if across
            else None,
            "importance": plot_importance(importances, objectives),
            "slice": plot_slice(views[main], labels[main]),
            "contour": plot_contour(views[main], labels[main], numeric_pair(views[main], importances[main])),
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
