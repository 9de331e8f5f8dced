"""Tune: run or go on with the study of this workspace, track it, report it."""

import optuna
from optuna.trial import FrozenTrial, TrialState

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.runtime.errors import BMENetError, ConfigError
from bmenet.tracking import track_stage
from bmenet.tuning.plan import Plan
from bmenet.tuning.report import Found, front, look_at, write_report
from bmenet.tuning.run import run_study
from bmenet.tuning.study import RUN, open_study


def tune(
    config: Config, layout: Layout, workers: int = 1, chosen: int | None = None, storage: str | None = None
) -> Found:
    """Run the study until its budget is used up, and report it into ``reports/tune``.

    A study that was stopped goes on; one that is done is only reported. Interrupted, it is reported as far as it got.

    Parameters
    ----------
    config : Config
    layout : Layout
    workers : int
        Processes on this machine.
    chosen : int, optional
        The number of the trial to be taken for the best; one that is complete already.
    storage : str, optional
        SQLAlchemy URL; by default ``BMENET_STUDIES``, else a journal file of the workspace.

    Raises
    ------
    ConfigError, VolumeError, WeightsError
        If something is missing or does not fit.
    BMENetError
        If workers fail, or no trial is complete.
    """
    plan = Plan.of_workspace(config, layout, storage)
    study = open_study(plan)
    picked = _chosen(study, chosen)
    inputs = [layout.registered, layout.degraded_folder, layout.coarse_folder, layout.split]
    inputs += [layout.weights(kind) for kind in plan.weights]
    with track_stage(config, "tune", inputs, run_key=study.user_attrs[RUN]) as run:
        run.set_tags({"study": study.study_name})
        try:
            run_study(plan, study, workers)
        finally:
            found = look_at(plan, study, picked)
            if found.best is not None:
                write_report(plan, study, found, layout.report("tune"))
                run.log_metrics({f"tune.{name}": value for name, value in found.numbers.items()})
                run.set_tags({f"best.{key}": value for key, value in found.values.items()})
                run.log_artifact(layout.report("tune"), "reports")
    if found.best is None:
        raise BMENetError(
            f"tune: expected at least one complete trial; got {found.states}; "
            + ("raise --trials" if not config.tune.trials else "the reasons are in the runs of the trials")
        )
    return found


def _chosen(study: optuna.Study, number: int | None) -> FrozenTrial | None:
    """Return the trial that was asked for.

    Raises
    ------
    ConfigError
        If it is not there, or not complete.
    """
    if number is None:
        return None
    trials = study.get_trials(deepcopy=False)
    if number < len(trials) and trials[number].state == TrialState.COMPLETE:
        return trials[number]
    offered = [trial.number for trial in (front(study) if len(study.directions) > 1 else trials)]
    raise ConfigError(f"--trial: expected the number of a complete trial, such as one of {offered[:10]}; got {number}")
