"""The evaluation as tables for other programs: a row a volume, and means as DVC plots them."""

import csv
import io

from bmenet.config.evaluate import CLEAN_CODE
from bmenet.evaluation.labels import is_dice, metric_label
from bmenet.evaluation.methods import INPUT
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.result import Result
from bmenet.evaluation.summary import ALL_CODES, Summary


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


def psnr_csv(summary: Summary) -> str:
    """Return the brain PSNR by code, a column a method, as DVC plots it; the clean volume itself has none."""
    codes = [code for code in next(iter(summary.values())) if code != ALL_CODES]
    rows = [
        {"code": code}
        | {
            method: f"{by_code[code]['psnr_brain'].mean:.4f}"
            for method, by_code in summary.items()
            if code in by_code and (method, code) != (INPUT, CLEAN_CODE)
        }
        for code in codes
    ]
    return _csv(["code", *summary], rows)


def dice_csv(summary: Summary, code: str) -> str:
    """Return the Dice overlap by region under a code, a column a method, as DVC plots it."""
    overlaps = {
        method: {
            metric_label(name): f"{interval.mean:.4f}" for name, interval in by_code[code].items() if is_dice(name)
        }
        for method, by_code in summary.items()
        if any(map(is_dice, by_code.get(code, {})))
    }
    regions = dict.fromkeys(region for by_region in overlaps.values() for region in by_region)
    rows = [
        {"region": region}
        | {method: by_region[region] for method, by_region in overlaps.items() if region in by_region}
        for region in regions
    ]
    return _csv(["region", *overlaps], rows)


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
