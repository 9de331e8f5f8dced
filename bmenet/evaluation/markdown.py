"""The evaluation as a text for readers: ``results.md``."""

from collections.abc import Sequence

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.labels import (
    METHOD_LABELS,
    SHOWN_CODE,
    code_label,
    is_dice,
    is_volume_change,
    is_volume_error,
    metric_arrow,
    metric_format,
    metric_label,
)
from bmenet.evaluation.methods import INPUT
from bmenet.evaluation.metrics.fidelity import PSNR_CAP_DB
from bmenet.evaluation.pages.page import Table
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import ALL_CODES, Summary

REPORTED_METRICS = ("psnr", "ssim", "ncc", "hfen", "psnr_brain", "ssim_brain", "hfen_brain")
_GAIN_METRICS = ("psnr_brain", "ssim_brain", "hfen_brain")
_TISSUE_TITLES = {
    is_dice: "Dice overlap with the clean scan's segmentation",
    is_volume_change: "Change of volume against the clean scan (%)",
    is_volume_error: "Size of that change, whatever its sign (%)",
}


def results_text(data: str, summary: Summary, gains: dict[str, Summary], results: Sequence[Result]) -> str:
    """Return everything that is reported in words and numbers, as Markdown.

    Parameters
    ----------
    data : str
        One sentence that says what was evaluated.
    summary : Summary
    gains : dict
        Method (Coarse-net, second stage) to what it gains over every other.
    results : sequence of Result
    """
    subjects = len({result.subject for result in results})
    head = (
        f"# Results\n\n{data} Means over {subjects} unseen test subjects [bootstrap 95 % interval over subjects]; ↑ "
        "higher, ↓ lower is better. Rows `clean in` show what a method does to a scan that needs no restoration (code"
        " `000`): do no harm. Codes name motion, noise and bias, in that order. Differences are paired, subject by"
        " subject.\n"
    )
    return "\n".join([head, *(_section(table) for table in tables(summary, gains, results))])


def tables(summary: Summary, gains: dict[str, Summary], results: Sequence[Result]) -> list[Table]:
    """Return every table of the report: metrics, Dice, volumes, by code, and paired differences."""
    codes = next(iter(summary.values()))
    found: list[Table] = []
    for code in (code for code in (SHOWN_CODE, ALL_CODES) if code in codes):
        found.append(_metric_table(summary, code, results))
        found += [
            _gain_table(method, over_others, code)
            for method, over_others in gains.items()
            if any(code in by_code for by_code in over_others.values())
        ]
    found += _tissue_tables(summary)
    found.append(_code_table(summary))
    found += [_gain_by_code_table(method, gains[method], metric) for method in gains for metric in _GAIN_METRICS]
    return found


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


def _section(table: Table) -> str:
    """Return a table under its title."""
    return f"### {table.title}\n\n{markdown_table(table.header, table.rows)}"


def _metric_table(summary: Summary, code: str, results: Sequence[Result]) -> Table:
    """Return methods down, metrics across, and what becomes of clean input."""
    seconds = _seconds(results, code)
    header = ["method", *map(column, REPORTED_METRICS), "CPU seconds a volume"]
    rows = [
        [label, *(cell(intervals.get(name), name) for name in REPORTED_METRICS), seconds.get(method, "")]
        for label, method, intervals in _rows(summary, code)
    ]
    return Table(f"Everything measured, {code_label(code)}", header, rows)


def _gain_table(method: str, over_others: Summary, code: str) -> Table:
    """Return what a method gains over each other one under a code."""
    header = [f"{METHOD_LABELS[method]} minus", *map(column, REPORTED_METRICS)]
    rows = [
        [METHOD_LABELS[other], *(cell(by_code[code].get(name), name, "+") for name in REPORTED_METRICS)]
        for other, by_code in over_others.items()
        if code in by_code
    ]
    return Table(f"What {METHOD_LABELS[method]} gains, {code_label(code)}", header, rows)


def _tissue_tables(summary: Summary) -> list[Table]:
    """Return Dice overlap and change of volume by region, for every code whose volumes were segmented."""
    found = []
    for is_shown, title in _TISSUE_TITLES.items():
        codes = dict.fromkeys(
            code for by_code in summary.values() for code, m in by_code.items() if any(map(is_shown, m))
        )
        for code in (code for code in codes if code not in (CLEAN_CODE, ALL_CODES)):
            shown = [row for row in _rows(summary, code) if any(map(is_shown, row[2]))]
            names = [name for name in shown[0][2] if is_shown(name)]
            sign = "+" if is_shown is is_volume_change else ""
            rows = [
                [label, *(cell(intervals.get(name), name, sign) for name in names)] for label, _, intervals in shown
            ]
            found.append(Table(f"{title}, {code_label(code)}", ["method", *map(column, names)], rows))
    return found


def _code_table(summary: Summary) -> Table:
    """Return methods down, codes across."""
    codes = list(next(iter(summary.values())))
    rows = [
        [
            METHOD_LABELS[method],
            *(_psnr_pair(by_code[code]) if code in by_code else "" for code in codes),
        ]
        for method, by_code in summary.items()
    ]
    return Table("PSNR by degradation, whole grid / brain (dB)", ["method", *codes], rows)


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
    title = f"{METHOD_LABELS[method]} minus each other method by degradation, {column(metric)}"
    return Table(title, [f"{METHOD_LABELS[method]} minus", *codes], rows)


def _rows(summary: Summary, code: str) -> list[tuple[str, str, dict[str, Interval]]]:
    """Return label, method and numbers of each method under a code, then of the same methods on clean input."""
    shown = [method for method, by_code in summary.items() if code in by_code]
    rows = [(METHOD_LABELS[method], method, summary[method][code]) for method in shown]
    rows += [
        (f"clean in: {METHOD_LABELS[method]}", "", summary[method][CLEAN_CODE])
        for method in shown
        if method != INPUT and code != CLEAN_CODE and CLEAN_CODE in summary[method]
    ]
    return rows


def _seconds(results: Sequence[Result], code: str) -> dict[str, str]:
    """Return the mean time of each method, under one code or all."""
    times: dict[str, list[float]] = {}
    for result in results:
        if code == result.code or (code == ALL_CODES and result.code != CLEAN_CODE):
            times.setdefault(result.method, []).append(result.seconds)
    return {method: f"{sum(values) / len(values):.1f}" for method, values in times.items()}
