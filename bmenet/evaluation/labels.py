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

_REGIONS = {"csf": "CSF"}
_STEMS = {"psnr": "PSNR (dB)", "ssim": "SSIM", "ncc": "NCC", "hfen": "HFEN"}
_DICE, _VOLUME, _VOLUME_ERROR = "dice.", "volume_change.", "volume_error."


def dice_metric(region: str) -> str:
    """Return the metric's name for the Dice overlap of a region, such as ``dice.grey_matter``."""
    return _DICE + region.replace(" ", "_")


def volume_metric(region: str) -> str:
    """Return the metric's name for a region's change of volume in per cent."""
    return _VOLUME + region.replace(" ", "_")


def volume_error_metric(region: str) -> str:
    """Return the metric's name for the size of that change, whatever its sign."""
    return _VOLUME_ERROR + region.replace(" ", "_")


def is_dice(metric: str) -> bool:
    """Tell whether a metric is the Dice overlap of a region."""
    return metric.startswith(_DICE)


def is_volume_change(metric: str) -> bool:
    """Tell whether a metric is a region's change of volume."""
    return metric.startswith(_VOLUME)


def is_volume_error(metric: str) -> bool:
    """Tell whether a metric is the size of a region's change of volume."""
    return metric.startswith(_VOLUME_ERROR)


def metric_label(metric: str) -> str:
    """Return a metric's name for readers, such as ``brain SSIM`` or ``grey matter``."""
    if is_dice(metric) or is_volume_change(metric) or is_volume_error(metric):
        region = metric.split(".", 1)[1].replace("_", " ")
        return _REGIONS.get(region, region)
    stem = metric.removesuffix("_brain")
    label = _STEMS.get(stem, stem)
    return label if stem == metric else f"brain {label}"


def metric_arrow(metric: str) -> str:
    """Return an arrow that points to where a metric is better; nothing where the best value is zero."""
    if is_volume_change(metric):
        return ""
    is_lower_better = is_volume_error(metric) or (metric in METRICS and METRICS[metric].lower_is_better)
    return "↓" if is_lower_better else "↑"


def metric_format(metric: str) -> str:
    """Return the format of a metric's numbers."""
    if metric.startswith("psnr"):
        return ".2f"
    return ".1f" if is_volume_change(metric) or is_volume_error(metric) else ".3f"


def code_label(code: str) -> str:
    """Return a code's name for readers."""
    return "all degraded codes" if code == ALL_CODES else f"code {code}"
