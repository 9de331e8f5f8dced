"""The evaluation as tables for other programs: a row a volume, and means in the long form that DVC plots."""

import csv
import io

from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import Summary
from bmenet.metrics import METRICS


def volumes_csv(results: list[Result]) -> str:
    """Return one row per restored volume; what was not measured of it is empty."""
    more = dict.fromkeys(name for result in results for name in result.metrics if name not in METRICS)
    columns = ["subject", "code", "method", *METRICS, *more, "seconds"]
    rows = [
        {"subject": result.subject, "code": result.code, "method": result.method}
        | {name: f"{value:.6g}" for name, value in result.metrics.items()}
        | {"seconds": f"{result.seconds:.3f}"}
        for result in results
    ]
    return _csv(columns, rows)


def plot_csv(summary: Summary) -> str:
    """Return PSNR by code and method, in the long form that DVC plots."""
    rows = [
        {"code": code, "method": method} | {name: f"{intervals[name].mean:.4f}" for name in ("psnr", "psnr_brain")}
        for method, by_code in summary.items()
        for code, intervals in by_code.items()
    ]
    return _csv(["code", "method", "psnr", "psnr_brain"], rows)


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
