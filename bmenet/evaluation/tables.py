"""The evaluation as tables for readers: what methods, metrics and codes are called, and ``results.md``."""

from collections.abc import Sequence

import pandas as pd

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.fidelity import PSNR_CAP_DB
from bmenet.evaluation.pages import Table
from bmenet.evaluation.result import INPUT
from bmenet.evaluation.summary import ALL_CODES, Summary
from bmenet.evaluation.tissue import DICE, VOLUME, VOLUME_ERROR

METHOD_LABELS = {
    "degraded": "degraded input",
    "n4": "N4",
    "n4_nlm": "N4 + non-local means",
    "n4_bm4d": "N4 + BM4D",
    "coarse": "BMENet, coarse",
    "fine": "BMENet, fine",
    "fine_decode": "fine, decoded",
    "fine_no_edges": "fine, no edge hint",
    "fine_no_constraint": "fine, no constraint",
}

SHOWN_CODE = "111"
"""Everything at once: what reports show first, where it was evaluated."""

REPORTED_METRICS = (
    "psnr", "ssim", "ncc", "hfen", "psnr_head", "ssim_head",
    "psnr_brain", "psnr_field_free_brain", "ssim_brain", "hfen_brain",
)  # fmt: skip
_GAIN_METRICS = ("psnr_brain", "psnr_field_free_brain", "ssim_brain", "hfen_brain")
_STEMS = {
    "psnr": "PSNR (dB)",
    "psnr_field_free": "PSNR without field (dB)",
    "ssim": "SSIM",
    "ncc": "NCC",
    "hfen": "HFEN",
}
_TISSUE_TITLES = {
    DICE: "Dice overlap with the clean scan's segmentation",
    VOLUME: "Change of volume against the clean scan (%)",
    VOLUME_ERROR: "Size of that change, whatever its sign (%)",
}

Row = tuple[str, dict[str, Interval]]
"""The name of a row, and its numbers by metric."""


def metric_label(metric: str) -> str:
    """Return a metric's name for readers, such as ``brain SSIM``, ``head PSNR (dB)`` or ``grey matter``."""
    if metric.startswith((DICE, VOLUME, VOLUME_ERROR)):
        region = metric.split(".", 1)[1].replace("_", " ")
        return "CSF" if region == "csf" else region
    region = next((region for region in ("brain", "head") if metric.endswith(f"_{region}")), "")
    stem = metric.removesuffix(f"_{region}") if region else metric
    return f"{region} {_STEMS.get(stem, stem)}".lstrip()


def metric_format(metric: str) -> str:
    """Return the format of a metric's numbers."""
    if metric.startswith("psnr"):
        return ".2f"
    return ".1f" if metric.startswith((VOLUME, VOLUME_ERROR)) else ".3f"


def column(metric: str) -> str:
    """Return the heading of a metric's column: its label, and an arrow to where it is better, unless zero is best."""
    if metric.startswith(VOLUME):
        return metric_label(metric)
    is_lower_better = metric.startswith(VOLUME_ERROR) or (metric in METRICS and METRICS[metric].lower_is_better)
    return f"{metric_label(metric)} {'↓' if is_lower_better else '↑'}"


def method_rows(summary: Summary, code: str) -> list[Row]:
    """Return the label and the numbers of each method under a code."""
    return [(METHOD_LABELS[method], by_code[code]) for method, by_code in summary.items() if code in by_code]


def cell(interval: Interval | None, metric: str, sign: str = "") -> str:
    """Return a mean and its interval; nothing where nothing was measured."""
    if interval is None:
        return ""
    spec = sign + metric_format(metric)
    return f"{interval.mean:{spec}} [{interval.low:{spec}}, {interval.high:{spec}}]"


def metrics_table(title: str, corner: str, rows: Sequence[Row], metrics: Sequence[str], sign: str = "") -> Table:
    """Return rows of means with their intervals, a column a metric; `sign` is that of the format, ``+`` or none."""
    cells = [[label, *(cell(intervals.get(name), name, sign) for name in metrics)] for label, intervals in rows]
    return Table(title, pd.DataFrame(cells, columns=[corner, *map(column, metrics)]))


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_markdown(table: Table) -> str:
    """Return the cells of a table; all columns but the first are numbers."""
    return markdown_table(list(table.cells), table.cells.to_numpy().tolist())


def results_text(data: str, subjects: int, found: Sequence[Table]) -> str:
    """Return `found`, the tables, as Markdown under a head; `data` says in a sentence what was evaluated."""
    head = (
        f"# Results\n\n{data} Means over {subjects} unseen test subjects [bootstrap 95 % interval over subjects]; ↑ "
        "higher, ↓ lower is better. Rows `clean in` show what a method does to a scan that needs no restoration (code"
        " `000`): do no harm. Codes name motion, noise and bias, in that order. Differences are paired, subject by"
        " subject.\n"
    )
    return "\n".join([head, *(f"### {table.title}\n\n{as_markdown(table)}" for table in found)])


def tables(summary: Summary, gains: dict[str, Summary], results: pd.DataFrame) -> list[Table]:
    """Return every table of the report: metrics, Dice, volumes, by code, and paired differences.

    `gains` is method (Coarse-net, second stage) to what it gains over every other; the times are from `results`, a
    `results_table`.
    """
    codes = next(iter(summary.values()))
    found: list[Table] = []
    for code in (code for code in (SHOWN_CODE, ALL_CODES) if code in codes):
        found.append(_metric_table(summary, code, results))
        for method, over_others in gains.items():
            if rows := method_rows(over_others, code):
                title = f"What {METHOD_LABELS[method]} gains, {_code_label(code)}"
                found.append(metrics_table(title, f"{METHOD_LABELS[method]} minus", rows, REPORTED_METRICS, "+"))
    found += _tissue_tables(summary)
    found.append(_code_table(summary))
    found += [_gain_by_code_table(method, gains[method], metric) for method in gains for metric in _GAIN_METRICS]
    return found


def _metric_table(summary: Summary, code: str, results: pd.DataFrame) -> Table:
    """Return methods down, metrics across, and what becomes of clean input."""
    rows = method_rows(summary, code)
    table = metrics_table(
        f"Everything measured, {_code_label(code)}", "method", [*rows, *_clean_rows(summary, code)], REPORTED_METRICS
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
            rows = _of_kind(method_rows(summary, code), kind)
            if rows and code not in (CLEAN_CODE, ALL_CODES):
                rows += _of_kind(_clean_rows(summary, code), kind)
                found.append(metrics_table(f"{title}, {_code_label(code)}", "method", rows, list(rows[0][1]), sign))
    return found


def _of_kind(rows: Sequence[Row], kind: str) -> list[Row]:
    """Return the rows that have metrics whose name begins with `kind`, and these alone."""
    cut = [(label, {name: n for name, n in numbers.items() if name.startswith(kind)}) for label, numbers in rows]
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


def _clean_rows(summary: Summary, code: str) -> list[Row]:
    """Return what the methods that were run under a degraded code do to clean input."""
    return [
        (f"clean in: {METHOD_LABELS[method]}", by_code[CLEAN_CODE])
        for method, by_code in summary.items()
        if method != INPUT and code in by_code and code != CLEAN_CODE and CLEAN_CODE in by_code
    ]


def _code_label(code: str) -> str:
    return "all degraded codes" if code == ALL_CODES else f"code {code}"
