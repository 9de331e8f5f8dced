"""What readers call the methods, the metrics and the codes."""

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.summary import ALL_CODES

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

DICE, VOLUME, VOLUME_ERROR = "dice.", "volume_change.", "volume_error."
"""What metrics of a region's overlap, change of volume (%) and size of that change, whatever its sign, begin with."""

_REGIONS = {"csf": "CSF"}
_STEMS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "ncc": "NCC", "hfen": "HFEN"}


def region_metric(kind: str, region: str) -> str:
    """Return the name of a metric of `DICE`, `VOLUME` or `VOLUME_ERROR`, such as ``dice.grey_matter``."""
    return kind + region.replace(" ", "_")


def metric_label(metric: str) -> str:
    """Return a metric's name for readers, such as ``brain SSIM`` or ``grey matter``."""
    if metric.startswith((DICE, VOLUME, VOLUME_ERROR)):
        region = metric.split(".", 1)[1].replace("_", " ")
        return _REGIONS.get(region, region)
    stem = metric.removesuffix("_brain")
    label = _STEMS.get(stem, stem)
    return label if stem == metric else f"brain {label}"


def metric_arrow(metric: str) -> str:
    """Return an arrow that points to where a metric is better; nothing where the best value is zero."""
    if metric.startswith(VOLUME):
        return ""
    is_lower_better = metric.startswith(VOLUME_ERROR) or (metric in METRICS and METRICS[metric].lower_is_better)
    return "↓" if is_lower_better else "↑"


def metric_format(metric: str) -> str:
    """Return the format of a metric's numbers."""
    if metric.startswith("psnr"):
        return ".2f"
    return ".1f" if metric.startswith((VOLUME, VOLUME_ERROR)) else ".3f"


def code_label(code: str) -> str:
    """Return a code's name for readers."""
    return "all degraded codes" if code == ALL_CODES else f"code {code}"
