"""What a study leaves behind: tables, the best values, pictures and a page."""

import csv
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from bmenet.config.tune import SECONDS
from bmenet.evaluation.bootstrap import Interval
from bmenet.runtime.files import write_json, write_text
from bmenet.tuning.comparison import paired_gains
from bmenet.tuning.interactive_plots import plotly_parts
from bmenet.tuning.page import write_page
from bmenet.tuning.plan import Plan
from bmenet.tuning.plots import draw
from bmenet.tuning.study import ENDED_BY, IS_DEFAULT, STATES, best_trial, counts
from bmenet.tuning.trial import ERROR, picture_path

BEST_FILE = "best_params.yaml"
PAGE_FILE = "study.html"


@dataclass(frozen=True)
class Found:
    """What a study found.

    Parameters
    ----------
    best : FrozenTrial or None
        None: no trial is complete.
    default : FrozenTrial or None
        The trial of the values that params.yaml had when the study began.
    gains : dict
        Metric to the best's gain over the default, on validation subjects.
    states : dict
        Word to number of trials.
    seconds : float
        A trial, median of those that are complete, wall clock.
    """

    best: FrozenTrial | None
    default: FrozenTrial | None
    gains: dict[str, Interval]
    states: dict[str, int]
    seconds: float

    @property
    def values(self) -> dict[str, Any]:
        """Dotted key to the best value."""
        return dict(self.best.params) if self.best else {}

    @property
    def numbers(self) -> dict[str, float]:
        """What is compared from one study to the next."""
        numbers: dict[str, float] = {f"trials.{word}": count for word, count in self.states.items()}
        numbers["seconds_per_trial"] = self.seconds
        if self.best:
            numbers["best"] = self.best.values[0]
        if self.default:
            numbers["default"] = self.default.values[0]
        for metric, interval in self.gains.items():
            numbers |= {f"gain.{metric}.{name}": value for name, value in interval.as_dict().items()}
        return numbers


def look_at(plan: Plan, study: optuna.Study, chosen: FrozenTrial | None = None) -> Found:
    """Return what a study has found so far; of several objectives the best is the one that is best in the first.

    Parameters
    ----------
    plan : Plan
    study : optuna.Study
    chosen : FrozenTrial, optional
        Taken for the best: of a front a person may choose.
    """
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    default = next((trial for trial in complete if trial.user_attrs.get(IS_DEFAULT)), None)
    best = chosen or best_trial(study)
    gains = {}
    if best and default:
        gains = paired_gains(best, default, plan.composite, plan.config.evaluate.bootstrap, plan.config.seed)
    counted = [trial for trial in trials if counts(trial)]
    states = {word: sum(trial.state == state for trial in counted) for state, word in STATES.items()}
    states["put_back"] = sum(trial.state == TrialState.FAIL and not counts(trial) for trial in trials)
    durations = [trial.duration.total_seconds() for trial in complete if trial.duration]
    return Found(best, default, gains, states, float(np.median(durations)) if durations else 0.0)


def write_report(plan: Plan, study: optuna.Study, found: Found, folder: Path) -> None:
    """Write a study's report into a folder; no subject is named.

    Files: ``trials.csv``, ``metrics.json``, ``study.json``, ``best_params.yaml`` (dotted key to value), plots and the
    picture of the best as PNG, and ``study.html``, which holds everything.
    """
    objectives = list(plan.config.tune.objectives)
    keys = list(plan.config.tune.space)
    write_text(folder / "trials.csv", _table(study, objectives, keys))
    write_json(folder / "metrics.json", found.numbers)
    write_json(folder / "study.json", _summary(plan, study, found))
    write_text(folder / BEST_FILE, yaml.safe_dump(found.values, sort_keys=False))
    pictures = {path.stem: path for path in draw(study, objectives, folder)}
    pictures |= _picture_of_best(plan, found, folder)
    tables = {"Best values": _best_rows(found), "Best against the values before": gain_rows(found)}
    parts = plotly_parts(study, objectives)
    write_page(folder / PAGE_FILE, f"Study {study.study_name}", _facts(plan, found), tables, parts, pictures)


def gain_rows(found: Found) -> list[Mapping[str, str]]:
    """Return the paired comparison, a row a metric."""
    return [
        {"metric": name, "mean gain": f"{gain.mean:+.4f}", "95 % interval": f"{gain.low:+.4f} to {gain.high:+.4f}"}
        for name, gain in found.gains.items()
    ]


def front(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that no other is better than in every objective."""
    return study.best_trials


def _best_rows(found: Found) -> list[Mapping[str, str]]:
    before = found.default.params if found.default else {}
    return [
        {"key": key, "before": _shown(before.get(key, "")), "best": _shown(value)}
        for key, value in found.values.items()
    ]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(plan: Plan, found: Found) -> dict[str, str]:
    tune = plan.config.tune
    composite, weights = plan.composite
    shown = " + ".join(f"{weight:g} {metric}" for metric, weight in weights.items())
    facts = {
        "scope": tune.scope,
        "objectives": ", ".join(tune.objectives),
        f"composite {composite}": f"{shown}, each as a gain over {plan.given}",
        "validation volumes": f"{len(plan.validation)} subjects, codes {', '.join(tune.codes)}",
        "sampler and pruner": f"{tune.sampler}, {tune.pruner}",
        "trials": ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in found.states.items() if count),
        "a trial": f"{found.seconds:.1f} s (median of the complete ones)",
    }
    if found.best:
        facts["best"] = f"trial {found.best.number}: {', '.join(f'{value:+.4g}' for value in found.best.values)}"
    if found.default:
        facts["values before"] = f"trial {found.default.number}: {', '.join(f'{v:+.4g}' for v in found.default.values)}"
    return facts


def _summary(plan: Plan, study: optuna.Study, found: Found) -> dict[str, Any]:
    """Return what a program would want to know."""
    return {
        "study": study.study_name,
        "scope": plan.config.tune.scope,
        "objectives": list(plan.config.tune.objectives),
        "subjects": len(plan.validation),
        "codes": list(plan.config.tune.codes),
        "states": found.states,
        "seconds_per_trial": found.seconds,
        "best": _trial_summary(found.best),
        "default": _trial_summary(found.default),
        "gains": {metric: gain.as_dict() for metric, gain in found.gains.items()},
        "front": [trial.number for trial in front(study)] if len(study.directions) > 1 else None,
    }


def _trial_summary(trial: FrozenTrial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {"trial": trial.number, "values": trial.values, "params": trial.params}


def _table(study: optuna.Study, objectives: list[str], keys: list[str]) -> str:
    """Return all trials as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    extra = [SECONDS] if SECONDS not in objectives else []
    writer.writerow(["trial", "state", *objectives, *keys, *extra, "duration_s", "reason"])
    for trial in study.get_trials(deepcopy=False):
        is_complete = trial.state == TrialState.COMPLETE
        values = trial.values if is_complete else [""] * len(objectives)
        writer.writerow(
            [
                trial.number,
                STATES.get(trial.state, trial.state.name.lower()) if counts(trial) else "put back",
                *values,
                *(trial.params.get(key, "") for key in keys),
                *(trial.user_attrs.get(name, "") for name in extra),
                f"{trial.duration.total_seconds():.2f}" if trial.duration else "",
                trial.user_attrs.get(ERROR, trial.user_attrs.get(ENDED_BY, "")),
            ]
        )
    return text.getvalue()


def _picture_of_best(plan: Plan, found: Found, folder: Path) -> dict[str, Path]:
    """Copy the picture of the best trial; one that was drawn on another machine is in that trial's run."""
    target = folder / "best.png"
    target.unlink(missing_ok=True)
    if found.best is None or not (source := picture_path(plan, found.best.number)).exists():
        return {}
    shutil.copyfile(source, target)
    return {"best": target}
