"""Metrics of a restored volume against the clean one; a new metric is a function and a line here."""

from bmenet.evaluation.metrics.base import Metric
from bmenet.evaluation.metrics.fidelity import hfen, ncc, psnr, ssim

METRICS: dict[str, Metric] = {
    "psnr": Metric(psnr),
    "ssim": Metric(ssim),
    "ncc": Metric(ncc),
    "hfen": Metric(hfen, lower_is_better=True),
    "psnr_brain": Metric(psnr, inside_brain=True),
    "ssim_brain": Metric(ssim, inside_brain=True),
    "ncc_brain": Metric(ncc, inside_brain=True),
    "hfen_brain": Metric(hfen, inside_brain=True, lower_is_better=True),
}

__all__ = ["METRICS", "Metric"]
