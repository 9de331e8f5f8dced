"""Hold the drawn degradations against the published degraded level."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bmenet.config import CalibrationConfig, DegradationConfig

CALIBRATED_CODE = "111"
CALIBRATED_SEVERITY = "moderate"


def summarise(rows: Sequence[Mapping], config: DegradationConfig) -> dict:
    """Return the mean PSNR over the whole grid per code, and whether code 111 meets the published level.

    `rows` have ``code`` and ``psnr_db`` of every degraded volume. The summary has ``psnr_db`` per code, and
    ``calibration`` with ``is_calibrated``, which only the preset `moderate` is meant to be.
    """
    means = {code: float(np.mean(levels)) for code in config.codes if (levels := _levels(rows, code))}
    summary: dict = {"severity": config.severity, "volumes": len(rows), "psnr_db": means}
    if CALIBRATED_CODE in means:
        level = config.calibration
        summary["calibration"] = {
            "published_psnr_db": level.psnr_db,
            "tolerance_db": level.tolerance_db,
            "measured_psnr_db": means[CALIBRATED_CODE],
            "is_calibrated": abs(means[CALIBRATED_CODE] - level.psnr_db) <= level.tolerance_db,
        }
    return summary


def calibration_warning(summary: dict) -> str | None:
    """Return a line that tells how far the preset `moderate` is off the published level; None where it is not."""
    level = summary.get("calibration")
    if level is None or summary["severity"] != CALIBRATED_SEVERITY or level["is_calibrated"]:
        return None
    return (
        f"warning: preset {CALIBRATED_SEVERITY}, code {CALIBRATED_CODE}: measured {level['measured_psnr_db']:.2f} dB, "
        f"published {level['published_psnr_db']:g} dB +- {level['tolerance_db']:g}; "
        "results on these data are not comparable with the published ones"
    )


def calibration_figure(rows: Sequence[Mapping], calibration: CalibrationConfig) -> Figure:
    """Plot the PSNR of every degraded volume by code; a band at code 111 shows the published level.

    `rows` have the ``code`` and the ``psnr_db`` (None where nothing changed) of each degraded volume.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    codes = sorted({row["code"] for row in rows}, key=lambda code: (code.count("1"), -int(code, 2)))
    for place, code in enumerate(codes):
        values = _levels(rows, code)
        if code == CALIBRATED_CODE:
            low, high = (calibration.psnr_db + side * calibration.tolerance_db for side in (-1, 1))
            label = f"published: {low:.1f} to {high:.1f} dB"
            axes.fill_between([place - 0.45, place + 0.45], low, high, color="tab:orange", alpha=0.3, lw=0, label=label)
            axes.legend(loc="upper right", frameon=False)
        if values:
            # Spread the subjects a little, in order, so that equal values do not hide one another.
            offsets = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(1)
            axes.plot(place + offsets, values, ".", color="tab:blue", alpha=0.6)
            axes.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color="black", lw=1.5)
    axes.set_xticks(range(len(codes)), codes)
    axes.set_xlabel("code (motion, noise, bias)")
    axes.set_ylabel("PSNR of the degraded volume (dB)")
    axes.set_title("A point a subject, a bar the mean")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _levels(rows: Sequence[Mapping], code: str) -> list[float]:
    return [row["psnr_db"] for row in rows if row["code"] == code and row["psnr_db"] is not None]
