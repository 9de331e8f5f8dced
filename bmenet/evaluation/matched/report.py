"""Evaluate many people on matched pairs in parallel, and write tables, numbers, and a before and after."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bmenet.data.mr_art import MOVED, STILL
from bmenet.evaluation.matched.person import MatchedEvaluation, PersonOutcome, evaluate_person
from bmenet.evaluation.methods import COARSE, FINE
from bmenet.evaluation.plots import before_after
from bmenet.evaluation.result import INPUT, results_table, volumes_csv
from bmenet.evaluation.summary import Summary, as_numbers, summarise, summarise_gains
from bmenet.evaluation.tables import METHOD_LABELS, as_markdown, method_rows, metrics_table
from bmenet.imaging.figures import save_figure
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import write_json, write_text
from bmenet.runtime.parallel import run_parallel
from bmenet.runtime.progress import console

_RESAMPLES = 2000
_MOVED_CODE = "moved"
"""The mean over a person's moved scans, one or two; then over people."""

_SCORES = {1: "good", 2: "medium", 3: "bad"}
"""The neuroradiologists' score of a scan to what it says about clinical use."""

_COLUMNS = ("psnr_brain", "ssim_brain", "ncc_brain", "hfen_brain", "psnr_head", "ssim_head", "psnr", "ssim")
_TITLES = {
    "headmotion1": "slight motion (headmotion1)",
    "headmotion2": "stronger motion (headmotion2)",
    _MOVED_CODE: "all moved scans, a person's mean of one or two",
    **{
        f"score-{score}": f"moved scans that radiologists called {name} (score {score})"
        for score, name in _SCORES.items()
    },
    STILL: "the still scan itself: do no harm",
}
_RULES = (
    "Each still scan is registered to the template and each moved scan to the still one, rigidly; each is interpolated "
    "once. Whole heads stay whole; where the still scan is skull-stripped, both are cut to its brain. Two acquisitions "
    "differ in receiver gain: every restored volume, the input too, is multiplied by the factor that fits it best to "
    "the still scan inside the brain (least squares). That hides errors in overall brightness. It does not hide a coil "
    "field that lies elsewhere in the head, nor what is left of a misalignment: both count as error of every method "
    "alike. Nor is the still scan the truth: its own noise bounds what any method can reach."
)


def evaluate_people(subjects: list[str], evaluation: MatchedEvaluation, folder: Path) -> dict[str, Any]:
    """Evaluate every person and write the report to `folder`; one failure does not stop the others.

    Whom the data set lacks a scan of is told on stderr, and in the report. What metrics.json holds is returned; its
    ``failures`` say who is not in the report and why.

    Raises
    ------
    BMENetError
        If nobody could be evaluated.
    """
    items = [(subject, (subject, evaluation)) for subject in subjects]
    outcomes, failed = run_parallel(evaluate_person, items, description="matched pairs")
    failures = {failure.name: failure.reason for failure in failed}
    for subject, outcome in outcomes.items():
        failures |= {f"{subject} {acquisition}": reason for acquisition, reason in outcome.failures.items()}
    # A report is shared: where the data set lies on this machine is not for it. The bar has told the whole path.
    place = f"{evaluation.source.base}/"
    failures = {name: reason.replace(place, "") for name, reason in failures.items()}
    _tell_missing(outcomes)
    if not any(result.code in MOVED for outcome in outcomes.values() for result in outcome.results):
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items()) or "no person has matched scans"
        raise BMENetError(f"expected at least one person who could be evaluated; got none of {len(items)}: {reasons}")
    return write_matched_report(outcomes, failures, folder, evaluation.seed)


def write_matched_report(
    outcomes: Mapping[str, PersonOutcome], failures: Mapping[str, str], folder: Path, seed: int
) -> dict[str, Any]:
    """Write ``results.md``, ``metrics.json``, ``volumes.csv`` and ``before_after.png``; return what metrics.json holds.

    `outcomes` is subject to what became of it, at least one with results; `failures` is a subject, or a subject and an
    acquisition, to why it failed; `seed` is that of the bootstrap.
    """
    results = [result for outcome in outcomes.values() for result in outcome.results]
    table = results_table(results)
    scores = {subject: outcome.scores for subject, outcome in outcomes.items() if outcome.scores}
    groups = by_severity(table, scores)
    summary = _merge({code: summarise(group, _RESAMPLES, seed) for code, group in groups.items()})
    gains = {
        method: _merge({code: summarise_gains(group, _RESAMPLES, seed, method) for code, group in groups.items()})
        for method in (COARSE, FINE)
        if method in summary
    }
    record = {
        "people": {code: group["subject"].nunique() for code, group in groups.items()},
        "missing": {subject: list(outcome.missing) for subject, outcome in outcomes.items() if outcome.missing},
        "failures": dict(failures),
        "scores": scores,
        "metrics": as_numbers(summary),
        "gains": {method: as_numbers(over_others) for method, over_others in gains.items()},
    }
    write_json(folder / "metrics.json", record)
    write_text(folder / "volumes.csv", volumes_csv(table))
    write_text(folder / "results.md", _markdown(groups, summary, gains, record))
    code = next(code for code in reversed(MOVED) if code in groups)
    still = {r.subject: r.shown_slices for r in results if (r.code, r.method) == (STILL, INPUT)}
    save_figure(folder / "before_after.png", before_after(still, results, code))
    return record


def by_severity(results: pd.DataFrame, scores: Mapping[str, Mapping[str, int]]) -> dict[str, pd.DataFrame]:
    """Group results, one a person and method, under the codes that are reported; codes without a result are left out.

    The codes: each moved acquisition, `_MOVED_CODE`, ``score-<n>`` for each score, ``standard``. People differ in what
    they have of these, so every code is summarised over its own people, and who has two scans under a code counts once.
    `results` is a `results_table`, `scores` is subject to acquisition to score.
    """
    moved = results[results["code"].isin(MOVED)]
    score = [scores.get(subject, {}).get(code) for subject, code in zip(moved["subject"], moved["code"], strict=True)]
    groups = {code: moved[moved["code"] == code] for code in MOVED}
    groups[_MOVED_CODE] = moved
    groups |= {f"score-{wanted}": moved[[found == wanted for found in score]] for wanted in _SCORES}
    groups[STILL] = results[results["code"] == STILL]
    return {
        code: group.groupby(["method", "subject"], sort=False).mean(numeric_only=True).reset_index().assign(code=code)
        for code, group in groups.items()
        if len(group)
    }


def _merge(by_code: Mapping[str, Summary]) -> Summary:
    """Put summaries of one code each together; method outside, code inside."""
    merged: Summary = {}
    for code, summary in by_code.items():
        for method, intervals in summary.items():
            merged.setdefault(method, {})[code] = intervals[code]
    return merged


def _markdown(
    groups: Mapping[str, pd.DataFrame], summary: Summary, gains: Mapping[str, Summary], record: Mapping[str, Any]
) -> str:
    parts = [
        "# Real motion: MR-ART\n",
        "Mean over people [bootstrap 95 % interval]; ↑ higher, ↓ lower is better.\n",
        f"{_RULES}\n",
        *_absences(record),
    ]
    for code, group in groups.items():
        people = record["people"][code]
        parts += [f"## {_TITLES[code]}\n", f"{people} {'people' if people != 1 else 'person'}.\n"]
        seconds = group.groupby("method", sort=False)["seconds"].mean()
        table = metrics_table("", "method", method_rows(summary, code), _COLUMNS)
        table.cells["CPU seconds a volume"] = [f"{seconds[name]:.1f}" for name in summary if code in summary[name]]
        parts.append(as_markdown(table))
        for method, over_others in gains.items():
            parts.append(f"What {METHOD_LABELS[method]} gains over each, person by person:\n")
            parts.append(as_markdown(metrics_table("", "method", method_rows(over_others, code), _COLUMNS, "+")))
    return "\n".join(parts)


def _absences(record: Mapping[str, Any]) -> list[str]:
    """Tell what is not in the tables, and why."""
    lines = []
    if record["missing"]:
        listed = "; ".join(f"{subject} {', '.join(labels)}" for subject, labels in record["missing"].items())
        count = sum(map(len, record["missing"].values()))
        lines.append(
            f"Not in the data set ({count} scans): {listed}. Without its standard scan a person is left out.\n"
        )
    if record["failures"]:
        listed = "; ".join(f"{name}: {' '.join(reason.split())}" for name, reason in record["failures"].items())
        lines.append(f"**Failed, and left out ({len(record['failures'])})**: {listed}\n")
    return lines


def _tell_missing(outcomes: dict[str, PersonOutcome]) -> None:
    """Say which scans the data set does not have, and who is skipped for it."""
    for subject, outcome in outcomes.items():
        if outcome.missing:
            reason = "no still scan to compare with" if STILL in outcome.missing else "no moved scan to restore"
            skipped = "" if outcome.results or outcome.failures else f"; skipped: {reason}"
            told = f"{subject}: not in the data set: {', '.join(outcome.missing)}{skipped}"
            console.print(told, markup=False, soft_wrap=True)
    if count := sum(len(outcome.missing) for outcome in outcomes.values()):
        console.print(f"{count} of {3 * len(outcomes)} scans are not in the data set", markup=False)
