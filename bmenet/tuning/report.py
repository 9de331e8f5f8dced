"""The result of a study, and its report: tables, the best values, plots and a page."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import yaml
from optuna.trial import FrozenTrial, TrialState

from bmenet.config.tune import SECONDS
from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.runtime.files import write_json, write_text
from bmenet.runtime.seeding import generator
from bmenet.tuning.objective import gain
from bmenet.tuning.page import draw_stills, interactive_plots, write_page
from bmenet.tuning.plan import Plan
from bmenet.tuning.search_space import is_first
from bmenet.tuning.study import PUT_BACK, STATES, best_trial, counted, put_back_numbers
from bmenet.tuning.trial import CASES, ERROR, picture_path

BEST_FILE = "best_params.yaml"
PAGE_FILE = "study.html"


@dataclass(frozen=True)
class Found:
    """The result of a study.

    `default` is the complete trial of the values that params.yaml had when the study began; `gains` are the best's over
    it on validation subjects, by metric; `states` is word to number of trials; `seconds` the median of complete trials.
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
        """The numbers that are compared from one study to the next."""
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
    """Return the result so far; the best trial is the best in the first objective, or the one that a person chose."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    default = next(filter(is_first, complete), None)
    best = chosen or best_trial(study)
    gains = {}
    if best and default:
        gains = paired_gains(best, default, plan.composite, plan.config.evaluate.bootstrap, plan.config.seed)
    states = {word: sum(trial.state == state for trial in counted(study)) for state, word in STATES.items()}
    states["put_back"] = len(put_back_numbers(trials))
    durations = [trial.duration.total_seconds() for trial in complete if trial.duration]
    return Found(best, default, gains, states, float(np.median(durations)) if durations else 0.0)


def paired_gains(
    best: FrozenTrial, default: FrozenTrial, composite: tuple[str, Mapping[str, float]], resamples: int, seed: int
) -> dict[str, Interval]:
    """Return metric to the mean gain of one trial over another, with its interval over subjects; positive is better.

    Both trials are complete. The composite, name and weights, is compared first.
    """
    ours, theirs = (by_subject(trial.user_attrs[CASES]) for trial in (best, default))
    name, weights = composite
    compared = {name: weights} | {metric: {metric: 1.0} for metric in weights}
    return {
        key: bootstrap_mean(
            np.array([gain(found, ours[subject], theirs[subject]) for subject in sorted(ours)]),
            resamples,
            generator(seed, "bootstrap", key),
        )
        for key, found in compared.items()
    }


def by_subject(cases: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return subject to metrics, means over its codes."""
    frame = pd.DataFrame.from_dict(cases, orient="index")
    means = frame.groupby(frame.index.str.split().str[0]).mean()
    return {str(subject): dict(row) for subject, row in means.iterrows()}


def write_report(plan: Plan, study: optuna.Study, found: Found, folder: Path) -> None:
    """Write a study's report into a folder; no subject is named.

    Files: ``trials.csv``, ``metrics.json``, ``study.json``, ``best_params.yaml`` (dotted key to value), plots and the
    picture of the best as PNG, and ``study.html``, which holds everything.
    """
    objectives = list(plan.config.tune.objectives)
    trials = trials_table(study, objectives, list(plan.config.tune.space))
    write_text(folder / "trials.csv", trials.to_csv(index=False))
    write_json(folder / "metrics.json", found.numbers)
    write_json(folder / "study.json", _summary(plan, study, found))
    write_text(folder / BEST_FILE, yaml.safe_dump(found.values, sort_keys=False))
    pictures = draw_stills(study, objectives, folder) | _picture_of_best(plan, found, folder)
    tables = {"Best values": _best_table(found), "Best against the values before": gain_table(found), "Trials": trials}
    plots = interactive_plots(study, objectives)
    write_page(folder / PAGE_FILE, f"Study {study.study_name}", _facts(plan, found), tables, plots, pictures)


def trials_table(study: optuna.Study, objectives: list[str], keys: list[str]) -> pd.DataFrame:
    """Return a row a trial: its state, objectives, values, seconds, and why it is not complete."""
    again = put_back_numbers(study.get_trials(deepcopy=False))
    frame = study.trials_dataframe(("number", "state", "values", "params", "user_attrs", "duration"))
    words = {state.name: word for state, word in STATES.items()}
    frame["state"] = frame["state"].map(lambda state: words.get(state, state.lower()))
    frame.loc[frame["number"].isin(again), "state"] = PUT_BACK
    frame.loc[frame["state"] != "complete", [f"values_{name}" for name in objectives]] = None
    frame["duration"] = frame["duration"].dt.total_seconds().round(2)
    names = {"number": "trial", "state": "state"} | {f"values_{name}": name for name in objectives}
    names |= {f"params_{key}": key for key in keys}
    names |= {f"user_attrs_{SECONDS}": SECONDS} if SECONDS not in objectives else {}
    names |= {"duration": "duration_s", f"user_attrs_{ERROR}": "reason"}
    return frame.reindex(columns=list(names)).rename(columns=names).convert_dtypes()


def gain_table(found: Found) -> pd.DataFrame:
    """Return the paired comparison, a row a metric."""
    rows = [(name, f"{gain.mean:+.4f}", f"{gain.low:+.4f} to {gain.high:+.4f}") for name, gain in found.gains.items()]
    return pd.DataFrame(rows, columns=["metric", "mean gain", "95 % interval"])


def _best_table(found: Found) -> pd.DataFrame:
    before = found.default.params if found.default else {}
    rows = [{"key": key, "before": before.get(key), "best": value} for key, value in found.values.items()]
    return pd.DataFrame(rows, dtype=object)


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
    for name, trial in (("best", found.best), ("values before", found.default)):
        if trial:
            facts[name] = f"trial {trial.number}: {', '.join(f'{value:+.4g}' for value in trial.values)}"
    return facts


def _summary(plan: Plan, study: optuna.Study, found: Found) -> dict[str, Any]:
    """Return the result for a program to read."""
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
        "front": [trial.number for trial in study.best_trials] if len(study.directions) > 1 else None,
    }


def _trial_summary(trial: FrozenTrial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {"trial": trial.number, "values": trial.values, "params": trial.params}


def _picture_of_best(plan: Plan, found: Found, folder: Path) -> dict[str, Path]:
    """Copy the picture of the best trial; one that was drawn on another machine is in that trial's run."""
    target = folder / "best.png"
    target.unlink(missing_ok=True)
    if found.best is None or not (source := picture_path(plan, found.best.number)).exists():
        return {}
    shutil.copyfile(source, target)
    return {"best": target}
