"""Hold the drawn degradations against the published degraded level."""

import numpy as np

from bmenet.config import DegradationConfig

CALIBRATED_CODE = "111"
CALIBRATED_SEVERITY = "moderate"


def summarise(rows: list[dict], config: DegradationConfig) -> dict:
    """Return the mean PSNR over the whole grid per code, and whether code 111 meets the published level.

    Parameters
    ----------
    rows : list of dict
        ``code`` and ``psnr_db`` of every degraded volume.
    config : DegradationConfig
        Codes, and the level with its tolerance.

    Returns
    -------
    dict
        ``psnr_db`` per code; ``calibration`` with ``is_calibrated``, which only the preset `moderate` is meant to be.
    """
    means = {
        code: float(np.mean([row["psnr_db"] for row in rows if row["code"] == code and row["psnr_db"] is not None]))
        for code in config.codes
        if any(row["code"] == code and row["psnr_db"] is not None for row in rows)
    }
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
    """Return a line that tells how far the preset `moderate` is off the published level; None where it is not.

    Parameters
    ----------
    summary : dict
        What `summarise` returned.
    """
    level = summary.get("calibration")
    if level is None or summary["severity"] != CALIBRATED_SEVERITY or level["is_calibrated"]:
        return None
    return (
        f"warning: preset {CALIBRATED_SEVERITY}, code {CALIBRATED_CODE}: measured {level['measured_psnr_db']:.2f} dB, "
        f"published {level['published_psnr_db']:g} dB +- {level['tolerance_db']:g}; "
        "results on these data are not comparable with the published ones"
    )
