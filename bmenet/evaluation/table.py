"""The evaluation as text: a CSV row per volume, a plot table, and a Markdown report."""

import csv
import io

from bmenet.evaluation.bootstrap import Interval
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import ALL_CODES, Summary
from bmenet.metrics import METRICS

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
_LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "ncc": "NCC", "hfen": "HFEN"}
_REPORTED_METRICS = ("psnr", "ssim", "ncc", "hfen", "psnr_brain", "ssim_brain")
_REPORTED_CODES = ("111", ALL_CODES)


def metric_label(name: str) -> str:
    """Return a metric's name for readers, such as ``brain SSIM``."""
    stem = name.removesuffix("_brain")
    label = _LABELS.get(stem, stem)
    return label if stem == name else f"brain {label}"


def volumes_csv(results: list[Result]) -> str:
    """Return one row per restored volume."""
    rows = [
        {"subject": result.subject, "code": result.code, "method": result.method}
        | {name: f"{result.metrics[name]:.6g}" for name in METRICS}
        | {"seconds": f"{result.seconds:.3f}"}
        for result in results
    ]
    return _csv(["subject", "code", "method", *METRICS, "seconds"], rows)


def plot_csv(summary: Summary) -> str:
    """Return PSNR by code and method, in the long form that DVC plots."""
    rows = [
        {"code": code, "method": method} | {name: f"{intervals[name].mean:.4f}" for name in ("psnr", "psnr_brain")}
        for method, by_code in summary.items()
        for code, intervals in by_code.items()
    ]
    return _csv(["code", "method", "psnr", "psnr_brain"], rows)


def markdown(summary: Summary, gains: dict[str, Summary], results: list[Result]) -> str:
    """Return the tables of the report: code 111 and all codes with intervals, gains, and PSNR by code.

    `gains` holds, for Coarse-net and where there is one for the second stage, what it gains over every other method.
    """
    subjects = len({result.subject for result in results})
    codes = next(iter(summary.values()))
    parts = [
        f"Mean over {subjects} unseen test subjects [bootstrap 95 % interval]; ↑ higher, ↓ lower is better. "
        "`all` is the mean over the degraded codes (motion, noise, bias).\n"
    ]
    for code in _REPORTED_CODES:
        if code in codes:
            parts += [f"### {_code_label(code)}\n", _metric_table(summary, code, _seconds(results, code))]
            for method, over_others in gains.items():
                if any(code in by_code for by_code in over_others.values()):
                    label = METHOD_LABELS[method]
                    parts += [f"What {label} gains over each, subject by subject ({_code_label(code)}):\n"]
                    parts += [_metric_table(over_others, code)]
    parts += ["### PSNR by code, whole grid / brain (dB)\n", _code_table(summary)]
    return "\n".join(parts)


def _metric_table(summary: Summary, code: str, seconds: dict[str, float] | None = None) -> str:
    """Return methods down, metrics across; without times the numbers are gains, with their sign."""
    sign = "" if seconds else "+"
    arrows = {name: "↓" if metric.lower_is_better else "↑" for name, metric in METRICS.items()}
    header = ["method", *(f"{metric_label(name)} {arrows[name]}" for name in _REPORTED_METRICS)]
    shown = {method: by_code[code] for method, by_code in summary.items() if code in by_code}
    rows = [
        [METHOD_LABELS[method], *(_cell(intervals[name], name, sign) for name in _REPORTED_METRICS)]
        for method, intervals in shown.items()
    ]
    if seconds is not None:
        header.append("CPU seconds a volume")
        rows = [[*row, f"{seconds[method]:.1f}"] for row, method in zip(rows, shown, strict=True)]
    return _markdown_table(header, rows)


def _code_table(summary: Summary) -> str:
    """Return methods down, codes across."""
    codes = list(next(iter(summary.values())))
    rows = [
        [
            METHOD_LABELS[method],
            *(
                f"{by_code[c]['psnr'].mean:.2f} / {by_code[c]['psnr_brain'].mean:.2f}" if c in by_code else ""
                for c in codes
            ),
        ]
        for method, by_code in summary.items()
    ]
    return _markdown_table(["method", *codes], rows)


def _seconds(results: list[Result], code: str) -> dict[str, float]:
    """Return the mean time of each method, under one code or all."""
    times: dict[str, list[float]] = {}
    for result in results:
        if code in (ALL_CODES, result.code):
            times.setdefault(result.method, []).append(result.seconds)
    return {method: sum(values) / len(values) for method, values in times.items()}


def _code_label(code: str) -> str:
    return "all codes" if code == ALL_CODES else f"code {code}"


def _cell(interval: Interval, name: str, sign: str) -> str:
    spec = f"{sign}.{2 if name.startswith('psnr') else 3}f"
    return f"{interval.mean:{spec}} [{interval.low:{spec}}, {interval.high:{spec}}]"


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
