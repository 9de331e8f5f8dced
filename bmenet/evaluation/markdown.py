"""The evaluation as tables for readers, and as a text of them: ``results.md``."""

from collections.abc import Sequence

import pandas as pd

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.labels import (
    DICE,
    METHOD_LABELS,
    SHOWN_CODE,
    VOLUME,
    VOLUME_ERROR,
    code_label,
    metric_arrow,
    metric_format,
    metric_label,
)
from bmenet.evaluation.methods import INPUT
from bmenet.evaluation.metrics.fidelity import PSNR_CAP_DB
from bmenet.evaluation.pages.page import Table
from bmenet.evaluation.summary import ALL_CODES, Summary

REPORTED_METRICS = ("psnr", "ssim", "ncc", "hfen", "psnr_brain", "ssim_brain", "hfen_brain")
_GAIN_METRICS = ("psnr_brain", "ssim_brain", "hfen_brain")
_TISSUE_TITLES = {
    DICE: "Dice overlap with the clean scan's segmentation",
    VOLUME: "Change of volume against the clean scan (%)",
    VOLUME_ERROR: "Size of that change, whatever its sign (%)",
}

Row = tuple[str, dict[str, Interval]]
"""The name of a row, and its numbers by metric."""


def results_text(data: str, subjects: int, found: Sequence[Table]) -> str:
    """Return everything that is reported in words and numbers, as Markdown.

    Parameters
    ----------
    data : str
        One sentence that says what was evaluated.
    subjects : int
        How many the means are over.
    found : sequence of Table
        As `tables` returns them.
    """
    head = (
        f"# Results\n\n{data} Means over {subjects} unseen test subjects [bootstrap 95 % interval over subjects]; ↑ "
        "higher, ↓ lower is better. Rows `clean in` show what a method does to a scan that needs no restoration (code"
        " `000`): do no harm. Codes name motion, noise and bias, in that order. Differences are paired, subject by"
        " subject.\n"
    )
    return "\n".join([head, *(f"### {table.title}\n\n{as_markdown(table)}" for table in found)])


def tables(summary: Summary, gains: dict[str, Summary], results: pd.DataFrame) -> list[Table]:
    """Return every table of the report: metrics, Dice, volumes, by code, and paired differences.

    Parameters
    ----------
    summary : Summary
    gains : dict
        Method (Coarse-net, second stage) to what it gains over every other.
    results : DataFrame
        As `results_table` returns it; for the times.
    """
    codes = next(iter(summary.values()))
    found: list[Table] = []
    for code in (code for code in (SHOWN_CODE, ALL_CODES) if code in codes):
        found.append(_metric_table(summary, code, results))
        for method, over_others in gains.items():
            if rows := _rows(over_others, code):
                title = f"What {METHOD_LABELS[method]} gains, {code_label(code)}"
                found.append(metrics_table(title, f"{METHOD_LABELS[method]} minus", rows, REPORTED_METRICS, "+"))
    found += _tissue_tables(summary)
    found.append(_code_table(summary))
    found += [_gain_by_code_table(method, gains[method], metric) for method in gains for metric in _GAIN_METRICS]
    return found


def metrics_table(title: str, corner: str, rows: Sequence[Row], metrics: Sequence[str], sign: str = "") -> Table:
    """Return rows of means with their intervals, a column a metric; `sign` is that of the format, ``+`` or none."""
    cells = [[label, *(cell(intervals.get(name), name, sign) for name in metrics)] for label, intervals in rows]
    return Table(title, pd.DataFrame(cells, columns=[corner, *map(column, metrics)]))


def as_markdown(table: Table) -> str:
    """Return the cells of a table; all columns but the first are numbers."""
    return markdown_table(list(table.cells), table.cells.to_numpy().tolist())


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def column(metric: str) -> str:
    """Return the heading of a metric's column: its label and where it is better."""
    return f"{metric_label(metric)} {metric_arrow(metric)}".strip()


def cell(interval: Interval | None, metric: str, sign: str = "") -> str:
    """Return a mean and its interval; nothing where nothing was measured."""
    if interval is None:
        return ""
    spec = sign + metric_format(metric)
    return f"{interval.mean:{spec}} [{interval.low:{spec}}, {interval.high:{spec}}]"


def _metric_table(summary: Summary, code: str, results: pd.DataFrame) -> Table:
    """Return methods down, metrics across, and what becomes of clean input."""
    rows = _rows(summary, code)
    table = metrics_table(
        f"Everything measured, {code_label(code)}", "method", [*rows, *_clean_rows(summary, code)], REPORTED_METRICS
    )
    is_meant = results["code"] != CLEAN_CODE if code == ALL_CODES else results["code"] == code
    seconds = results[is_meant].groupby("method")["seconds"].mean()
    times = [f"{seconds[method]:.1f}" for method in summary if code in summary[method]]
    table.cells["CPU seconds a volume"] = times + [""] * (len(table.cells) - len(times))
    return table


def _tissue_tables(summary: Summary) -> list[Table]:
    """Return Dice overlap and change of volume by region, for every code whose volumes were segmented."""
    found = []
    for kind, title in _TISSUE_TITLES.items():
        sign = "+" if kind == VOLUME else ""
        for code in next(iter(summary.values())):
            rows = _of_kind(_rows(summary, code), kind)
            if rows and code not in (CLEAN_CODE, ALL_CODES):
                rows += _of_kind(_clean_rows(summary, code), kind)
                found.append(metrics_table(f"{title}, {code_label(code)}", "method", rows, list(rows[0][1]), sign))
    return found


def _of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """Return the rows that have metrics whose name begins with `kind`, and these alone."""
    cut = [
        (label, {name: found for name, found in numbers.items() if name.startswith(kind)}) for label, numbers in rows
    ]
    return [(label, numbers) for label, numbers in cut if numbers]


def _code_table(summary: Summary) -> Table:
    """Return methods down, codes across."""
    codes = list(next(iter(summary.values())))
    rows = [
        [METHOD_LABELS[method], *(_psnr_pair(by_code[code]) if code in by_code else "" for code in codes)]
        for method, by_code in summary.items()
    ]
    return Table("PSNR by degradation, whole grid / brain (dB)", pd.DataFrame(rows, columns=["method", *codes]))


def _psnr_pair(intervals: dict[str, Interval]) -> str:
    """Return the mean PSNR over the grid and inside the brain."""
    if intervals["psnr"].mean >= PSNR_CAP_DB:
        return "identical"
    return f"{intervals['psnr'].mean:.2f} / {intervals['psnr_brain'].mean:.2f}"


def _gain_by_code_table(method: str, over_others: Summary, metric: str) -> Table:
    """Return the paired difference to each other method, degradations across."""
    found = dict.fromkeys(code for by_code in over_others.values() for code in by_code)
    codes = sorted(found, key=lambda code: code != CLEAN_CODE)
    rows = [
        [METHOD_LABELS[other], *(cell(by_code.get(code, {}).get(metric), metric, "+") for code in codes)]
        for other, by_code in over_others.items()
        if by_code
    ]
    corner = f"{METHOD_LABELS[method]} minus"
    title = f"{corner} each other method by degradation, {column(metric)}"
    return Table(title, pd.DataFrame(rows, columns=[corner, *codes]))


def _rows(summary: Summary, code: str) -> list[Row]:
    """Return the label and the numbers of each method under a code."""
    return [(METHOD_LABELS[method], by_code[code]) for method, by_code in summary.items() if code in by_code]


def _clean_rows(summary: Summary, code: str) -> list[Row]:
    """Return what the methods that were run under a degraded code do to clean input."""
    return [
        (f"clean in: {METHOD_LABELS[method]}", by_code[CLEAN_CODE])
        for method, by_code in summary.items()
        if method != INPUT and code in by_code and code != CLEAN_CODE and CLEAN_CODE in by_code
    ]
