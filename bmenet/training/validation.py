"""Validate a Coarse-net on whole volumes, as inference restores them."""

from collections.abc import Sequence

import torch
from torch import nn

from bmenet.config import CoarseConfig
from bmenet.data.layout import Layout
from bmenet.evaluation.metrics.fidelity import psnr, ssim
from bmenet.evaluation.panel import panel
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import load_unit_volume
from bmenet.restoration.slices import restore_volume
from bmenet.tracking import NullLogger

CODES = ("111", "000")
"""Everything at once, whose PSNR ranks the weights; and nothing, which must come out as it went in."""

_METRICS = {"psnr": (psnr, False), "psnr_brain": (psnr, True), "ssim": (ssim, False)}
"""Name to function, and whether only the brain counts; not the table of `bmenet.evaluation.metrics`, whose growth
must not train a network again."""


class CoarseValidation:
    """Mean metrics over validation subjects, and a picture of the first.

    Parameters
    ----------
    config : CoarseConfig
    layout : Layout
    subjects : sequence of str
        Validation subjects; the first `validation_volumes` are used.
    autocast_dtype : torch.dtype
        Of the network's forward pass.
    logger : NullLogger
        Gets the picture.
    """

    def __init__(
        self,
        config: CoarseConfig,
        layout: Layout,
        subjects: Sequence[str],
        autocast_dtype: torch.dtype,
        logger: NullLogger,
    ) -> None:
        self.config = config
        self.layout = layout
        self.subjects = list(subjects)[: config.validation_volumes]
        self.autocast_dtype = autocast_dtype
        self.logger = logger

    def __call__(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        """Return the PSNR of code 111 and all metrics, named ``val.<metric>.<code>``."""
        sums = {f"val.{metric}.{code}": 0.0 for metric in _METRICS for code in CODES}
        for subject in self.subjects:
            clean = load_unit_volume(self.layout.clean(subject)).data
            brain_mask = foreground_mask(clean)
            for code in CODES:
                path = self.layout.clean(subject) if code == "000" else self.layout.degraded(subject, code)
                degraded = load_unit_volume(path).data
                coarse = restore_volume(network, degraded, config=self.config, autocast_dtype=self.autocast_dtype)
                for metric, (function, inside_brain) in _METRICS.items():
                    sums[f"val.{metric}.{code}"] += function(coarse, clean, brain_mask if inside_brain else None)
                if (subject, code) == (self.subjects[0], CODES[0]):
                    figure = panel(
                        {"clean": clean, "degraded": degraded, "coarse": coarse}, f"{subject}, code {code}, step {step}"
                    )
                    self.logger.log_figure(figure, f"validation/step-{step:08d}.png")
        means = {name: total / len(self.subjects) for name, total in sums.items()}
        return means[f"val.psnr.{CODES[0]}"], means
