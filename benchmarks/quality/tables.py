"""From results to rows with intervals, and from rows to the tables that are printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from benchmarks.quality.results import ALONE, KEPT_FIELD
from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.bootstrap import Interval, bootstrap_mean
from bmenet.evaluation.result import INPUT, Result
from bmenet.evaluation.segmentation.atropos import TISSUES
from bmenet.evaluation.tables import METHOD_LABELS, metric_format, metric_label
from bmenet.evaluation.tissue import VOLUME, region_metric
from bmenet.runtime.seeding import generator

PUBLISHED = {
    "degraded input": (20.79, 0.408),
    "BM4D": (21.51, 0.577),
    "EIP4MOCO": (17.58, 0.481),
    "MLP": (24.94, 0.725),
    "BMENet": (26.90, 0.817),
}
"""Method to its published PSNR (dB) and SSIM over the whole grid: motion, noise and inhomogeneity at once, as code 111
here, on data that are not public."""

COUNTERPARTS = {"degraded": "degraded input", "n4_bm4d": "BM4D", "fine": "BMENet"}
"""Method here to the published row it stands beside."""

ALL_CODE = "111"
FIDELITY = ("psnr", "ssim", "psnr_brain", "ssim_brain")
VOLUMES = tuple(region_metric(VOLUME, tissue) for tissue in TISSUES.values())
SECONDS = "seconds"
_LABELS = METHOD_LABELS | {"nlm": "non-local means", "bm4d": "BM4D", KEPT_FIELD: "BMENet, coarse, field kept"}
_CODES = {"100": "motion", "010": "noise", "001": "bias", ALL_CODE: "all three", CLEAN_CODE: "clean"}
_HOW_TO_GET = "needs the package bm4d, whose licence is non-commercial: read it, then pip install 'bmenet[bm4d]'"


@dataclass(frozen=True)
class Row:
    """A method under a code: how many subjects, and each metric's mean with its interval."""

    code: str
    method: str
    subjects: int
    metrics: dict[str, Interval]

    def as_dict(self) -> dict[str, Any]:
        """Return numbers and texts alone, for JSON."""
        numbers = {name: interval.as_dict() for name, interval in self.metrics.items()}
        return {"code": self.code, "method": self.method, "subjects": self.subjects, "metrics": numbers}


def rows_of(results: Sequence[Result], resamples: int, seed: int) -> list[Row]:
    """Return a row for each code and method, in the order of the results; subjects are drawn alike for all."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.code, result.method), []).append(result)
    rows = []
    for (code, method), group in groups.items():
        names = (name for name in (*FIDELITY, *VOLUMES) if all(name in result.metrics for result in group))
        values = {name: [result.metrics[name] for result in group] for name in names}
        values[SECONDS] = [result.seconds for result in group]
        metrics = {
            name: bootstrap_mean(np.array(of_name), resamples, generator(seed, "bootstrap"))
            for name, of_name in values.items()
        }
        rows.append(Row(code, method, len(group), metrics))
    return rows


def published_table(rows: Sequence[Row], stages: Sequence[str]) -> Table:
    """Return the published comparison's layout: all degradations at once, the published figures beside ours."""
    table = _table("All degradations (code 111)", ("method", "n"), (*FIDELITY, SECONDS), ("published PSNR", "SSIM"))
    under = {row.method: row for row in rows if row.code == ALL_CODE}
    shown = set()
    for method in (INPUT, "n4_nlm", "n4_bm4d", *stages):
        shown.add(COUNTERPARTS.get(method, ""))
        if method in under:
            cells = [_LABELS[method], str(under[method].subjects), *_cells(under[method], (*FIDELITY, SECONDS))]
        else:
            cells = [f"{_LABELS[method]} (not run)", "", *[""] * (len(FIDELITY) + 1)]
            table.caption = escape(f"{_LABELS[method]}: {missing_reason(method)}")
        table.add_row(*cells, *_published(COUNTERPARTS.get(method, "")))
    for name in PUBLISHED:
        if name not in shown:
            table.add_row(f"{name} (published)", "", *[""] * (len(FIDELITY) + 1), *_published(name))
    return table


def codes_table(rows: Sequence[Row]) -> Table:
    """Return every degraded code with its input, the classical tools that fit it, and ours."""
    table = _table("By degradation", ("code", "method", "n"), (*FIDELITY, SECONDS))
    last = ""
    for row in rows:
        if row.code == CLEAN_CODE:
            continue
        if last and row.code != last:
            table.add_section()
        code = "" if row.code == last else f"{row.code} {_CODES.get(row.code, '')}"
        table.add_row(code, _LABELS[row.method], str(row.subjects), *_cells(row, (*FIDELITY, SECONDS)))
        last = row.code
    return table


def clean_table(rows: Sequence[Row]) -> Table:
    """Return what a method does to a scan that needs nothing: nearness to it, and change of the tissues in per cent."""
    metrics = ("psnr", "psnr_brain", "ssim_brain", *VOLUMES)
    table = _table("Clean in: result against input, change of tissue volume in %", ("method", "n"), metrics)
    for row in rows:
        if row.code == CLEAN_CODE and row.method != INPUT:
            table.add_row(_LABELS[row.method], str(row.subjects), *_cells(row, metrics))
    return table


def missing_reason(method: str) -> str:
    """Return why a method has no row."""
    if method not in ("n4_bm4d", *ALONE):
        return "left out by --codes"
    return _HOW_TO_GET if find_spec("bm4d") is None else "left out by --bm4d 0"


def _table(title: str, texts: Sequence[str], metrics: Sequence[str], more: Sequence[str] = ()) -> Table:
    table = Table(title=f"{title}; mean [95 % interval over subjects]")
    for name in texts:
        table.add_column(name, justify="right" if name == "n" else "left")
    for name in (*("CPU s a volume" if name == SECONDS else metric_label(name) for name in metrics), *more):
        table.add_column(name, justify="right")
    return table


def _cells(row: Row, metrics: Sequence[str]) -> list[str]:
    return [_cell(row.metrics.get(name), name) for name in metrics]


def _cell(interval: Interval | None, metric: str) -> str:
    if interval is None:
        return ""
    form = ".1f" if metric == SECONDS else metric_format(metric)
    if metric == SECONDS or interval.low == interval.high:  # of one subject there is no interval
        return format(interval.mean, form)
    return f"{interval.mean:{form}}\n[{interval.low:{form}}, {interval.high:{form}}]".replace("[", r"\[")


def _published(name: str) -> list[str]:
    if name not in PUBLISHED:
        return ["", ""]
    psnr, ssim = PUBLISHED[name]
    return [f"{psnr:.2f}", f"{ssim:.3f}"]
