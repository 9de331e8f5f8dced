"""The tables of a benchmark of robustness: one of degraded inputs, one of clean ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.robustness.cases import Case
from benchmarks.robustness.measure import INPUT, METRICS, Scores

_SHARES = ("ssim", "contrast")


def summarise(case: Case, dataset: str, of_subjects: Mapping[str, Scores], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return a row: means over a data set's subjects by stage and metric, each one's scores, and why some have none."""
    stages = next(iter(of_subjects.values()), {})
    means = {
        stage: {metric: float(np.mean([scores[stage][metric] for scores in of_subjects.values()])) for metric in found}
        for stage, found in stages.items()
    }
    return {
        "case": case.name,
        "title": ", ".join(part for part in (case.title, dataset) if part),
        "is_clean": case.is_clean,
        "means": means,
        "subjects": dict(of_subjects),
        "failed": dict(failed),
    }


def degraded_table(rows: Sequence[dict[str, Any]], stages: Sequence[str]) -> Table:
    """Return the degraded inputs: from what to what, and the difference, by stage."""
    table = _table("Not made by our own generator: mean over subjects, inside the brain", stages, ("PSNR dB", "SSIM"))
    for row in rows:
        if not row["is_clean"]:
            table.add_row(row["title"], _count(row), *_changes(row["means"], stages))
    return table


def clean_table(rows: Sequence[dict[str, Any]], stages: Sequence[str]) -> Table:
    """Return the clean inputs: how near the result stays to them."""
    table = Table(title="Clean in: PSNR (dB) and SSIM of the result against the input, inside the brain")
    for name in ("input", "n", *(f"{stage} {metric}" for stage in stages for metric in ("PSNR", "best gain", "SSIM"))):
        table.add_column(name, justify="left" if name == "input" else "right")
    for row in rows:
        if row["is_clean"]:
            found = [row["means"].get(stage, {}) for stage in stages]
            cells = [_number(of_stage.get(name), name) for of_stage in found for name in ("psnr", "psnr_gain", "ssim")]
            table.add_row(row["title"], _count(row), *cells)
    return table


def _table(title: str, stages: Sequence[str], metrics: Sequence[str]) -> Table:
    table = Table(title=title)
    table.add_column("case")
    table.add_column("n", justify="right")
    for metric in (*metrics, "best gain", "field-free", "contrast"):
        table.add_column(f"in, {metric}", justify="right")
        for stage in stages:
            table.add_column(f"{stage}", justify="right")
            table.add_column("change", justify="right")
    return table


def _changes(means: Mapping[str, Mapping[str, float]], stages: Sequence[str]) -> list[str]:
    cells = []
    for metric in METRICS:
        before = means.get(INPUT, {}).get(metric)
        cells.append(_number(before, metric))
        for stage in stages:
            after = means.get(stage, {}).get(metric)
            is_known = before is not None and after is not None
            change = after - before if before is not None and after is not None else 0.0
            colour = "green" if change > 0 else "red"
            sign = f"{change:+.3f}" if metric in _SHARES else f"{change:+.2f}"
            cells += [_number(after, metric), f"[{colour}]{sign}[/]" if is_known else ""]
    return cells


def _number(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if metric in _SHARES else f"{value:.2f}"


def _count(row: Mapping[str, Any]) -> str:
    """Return how many subjects were measured, and how many could not be."""
    failed = f" ({len(row['failed'])} failed)" if row["failed"] else ""
    return f"{len(row['subjects'])}{failed}"
