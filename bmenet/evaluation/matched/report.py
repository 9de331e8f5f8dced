"""Write what the evaluation on matched pairs found: tables, numbers, and a before and after."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmenet.data.mr_art import MOVED, STILL
from bmenet.evaluation.figures import before_after
from bmenet.evaluation.labels import METHOD_LABELS
from bmenet.evaluation.markdown import cell, column, markdown_table
from bmenet.evaluation.matched.person import PersonOutcome
from bmenet.evaluation.matched.summary import (
    MOVED_CODE,
    SCORES,
    by_severity,
    score_code,
    summarise_matched,
    summarise_matched_gains,
)
from bmenet.evaluation.methods import COARSE, FINE, INPUT
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import Summary, as_numbers
from bmenet.evaluation.table import volumes_csv
from bmenet.imaging.figures import save_figure
from bmenet.runtime.files import write_json, write_text

RESAMPLES = 2000
_COLUMNS = ("psnr_brain", "ssim_brain", "ncc_brain", "hfen_brain", "psnr", "ssim")
_TITLES = {
    "headmotion1": "slight motion (headmotion1)",
    "headmotion2": "stronger motion (headmotion2)",
    MOVED_CODE: "all moved scans, a person's mean of one or two",
    **{
        score_code(score): f"moved scans that radiologists called {name} (score {score})"
        for score, name in SCORES.items()
    },
    STILL: "the still scan itself: do no harm",
}
_RULES = (
    "Each still scan is registered to the template and each moved scan to the still one, rigidly; each is interpolated "
    "once, and cut to the brain of the still scan. Two acquisitions differ in receiver gain: every restored volume, "
    "the input too, is multiplied by the factor that fits it best to the still scan inside the brain (least squares). "
    "That hides errors in overall brightness. It does not hide a coil field that lies elsewhere in the head, nor what "
    "is left of a misalignment: both count as error of every method alike. Nor is the still scan the truth: its own "
    "noise bounds what any method can reach."
)


def write_matched_report(
    outcomes: Mapping[str, PersonOutcome], failures: Mapping[str, str], folder: Path, seed: int
) -> dict[str, Any]:
    """Write ``results.md``, ``metrics.json``, ``volumes.csv`` and ``before_after.png``; return what metrics.json holds.

    Parameters
    ----------
    outcomes : mapping
        Subject to what became of it; at least one with results.
    failures : mapping
        A subject, or a subject and an acquisition, to why it failed.
    folder : Path
    seed : int
        Of the bootstrap.
    """
    results = [result for outcome in outcomes.values() for result in outcome.results]
    scores = {subject: outcome.scores for subject, outcome in outcomes.items() if outcome.scores}
    groups = by_severity(results, scores)
    summary = summarise_matched(groups, RESAMPLES, seed)
    gains = {
        method: summarise_matched_gains(groups, RESAMPLES, seed, method)
        for method in (COARSE, FINE)
        if method in summary
    }
    record = {
        "people": {code: len({result.subject for result in group}) for code, group in groups.items()},
        "missing": {subject: list(outcome.missing) for subject, outcome in outcomes.items() if outcome.missing},
        "failures": dict(failures),
        "scores": scores,
        "metrics": as_numbers(summary),
        "gains": {method: as_numbers(over_others) for method, over_others in gains.items()},
    }
    write_json(folder / "metrics.json", record)
    write_text(folder / "volumes.csv", volumes_csv(results))
    write_text(folder / "results.md", _markdown(groups, summary, gains, record))
    code = next(code for code in reversed(MOVED) if code in groups)
    still = {r.subject: r.shown_slices for r in results if (r.code, r.method) == (STILL, INPUT)}
    save_figure(folder / "before_after.png", before_after(still, results, code))
    return record


def _markdown(
    groups: dict[str, list[Result]], summary: Summary, gains: dict[str, Summary], record: dict[str, Any]
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
        seconds = {method: sum(r.seconds for r in group if r.method == method) / people for method in summary}
        parts.append(_table(summary, code, "", seconds))
        for method, over_others in gains.items():
            parts += [
                f"What {METHOD_LABELS[method]} gains over each, person by person:\n",
                _table(over_others, code, "+"),
            ]
    return "\n".join(parts)


def _absences(record: dict[str, Any]) -> list[str]:
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


def _table(summary: Summary, code: str, sign: str, seconds: dict[str, float] | None = None) -> str:
    """Return methods down, metrics across."""
    header = ["method", *map(column, _COLUMNS)]
    rows = [
        [METHOD_LABELS[method], *(cell(by_code[code][name], name, sign) for name in _COLUMNS)]
        for method, by_code in summary.items()
    ]
    if seconds is not None:
        header.append("CPU seconds a volume")
        rows = [[*row, f"{seconds[method]:.1f}"] for row, method in zip(rows, summary, strict=True)]
    return markdown_table(header, rows)
