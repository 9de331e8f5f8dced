"""How a restored validation volume is measured: only what the composite asks for, all that can be known before once."""

from functools import cached_property

import numpy as np

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.dice import region_dice
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume, load_unit_volume
from bmenet.tuning.composite import DICE, gain
from bmenet.tuning.plan import Plan


class Yardstick:
    """The clean volume of a case, and what the stage is given of it.

    Parameters
    ----------
    plan : Plan
    subject, code : str
    """

    def __init__(self, plan: Plan, subject: str, code: str) -> None:
        self.name = f"{subject} {code}"
        self.given = load_unit_volume(plan.given_path(subject, code))
        self.clean = load_unit_volume(plan.layout.clean(subject))
        self._weights = plan.composite[1]
        self._segmenter = SEGMENTERS[plan.config.evaluate.segmenter](plan.layout.segmentations)
        self._brain_mask = foreground_mask(self.clean.data)

    def measure(self, restored: np.ndarray) -> dict[str, float]:
        """Return the metrics of the composite whose weight is not 0."""
        return {
            metric: self._dice(restored)
            if metric == DICE
            else METRICS[metric](restored, self.clean.data, self._brain_mask)
            for metric in self._weights
        }

    def gain(self, measured: dict[str, float]) -> float:
        """Return the composite's gain over what the stage is given."""
        return gain(self._weights, measured, self.given_metrics)

    @cached_property
    def given_metrics(self) -> dict[str, float]:
        """What the stage is given, measured."""
        return self.measure(self.given.data)

    @cached_property
    def _tissues(self) -> Segmentation:
        return self._segmenter.segment(self.clean, self._brain_mask)

    def _dice(self, restored: np.ndarray) -> float:
        found = self._segmenter.segment(Volume(restored, self.clean.affine), self._brain_mask)
        overlaps = region_dice(found.labels, self._tissues.labels, self._tissues.regions)
        return float(np.mean(list(overlaps.values())))
