"""What a trial measures: the gain of restored validation volumes over the volumes that they were made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bmenet.config import Config
from bmenet.config.tune import SECONDS
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.measure import find_head
from bmenet.evaluation.segmentation import SEGMENTERS, Segmentation
from bmenet.evaluation.tissue import brain_alone, region_dice
from bmenet.imaging.volume import Volume, load_mask, load_unit_volume
from bmenet.tuning.plan import Plan

DICE = "dice"
"""Mean overlap of the tissues with the clean volume's: a metric beside those of `bmenet.evaluation.metrics`."""


def gain(weights: Mapping[str, float], restored: Mapping[str, float], given: Mapping[str, float]) -> float:
    """Return the weighted sum of the gains of a restored volume; positive is better for every metric.

    `weights` are points a unit of a metric; `given` is measured on the volume that the stage was given.
    """
    return sum(weight * sign(metric) * (restored[metric] - given[metric]) for metric, weight in weights.items())


def sign(metric: str) -> int:
    """Return 1 where more of a metric is better, else -1."""
    return -1 if metric in METRICS and METRICS[metric].lower_is_better else 1


class Case:
    """A validation case: its clean volume, the volume that the tuned stage is given, and the metrics between them.

    Its `name` is the place of the subject in the plan, and the code: studies name no subject.
    """

    def __init__(self, plan: Plan, subject: str, code: str) -> None:
        self.name = f"{plan.validation.index(subject)} {code}"
        self.given = load_unit_volume(plan.given_path(subject, code))
        self.clean = load_unit_volume(plan.layout.clean(subject))
        self._weights = plan.composite[1]
        self._segmenter = SEGMENTERS[plan.config.evaluate.segmenter](plan.layout.segmentations)
        self._brain_mask = load_mask(plan.layout.brain_mask(subject))
        self._head = find_head(self.clean, self._brain_mask)

    def measure(self, restored: np.ndarray) -> dict[str, float]:
        """Return the metrics of the composite whose weight is not 0."""
        return {
            metric: self._dice(restored)
            if metric == DICE
            else METRICS[metric](self.clean.with_data(restored), self.clean, self._brain_mask, self._head)
            for metric in self._weights
        }

    def gain(self, measured: dict[str, float]) -> float:
        """Return the composite's gain over the volume that the stage is given."""
        return gain(self._weights, measured, self.given_metrics)

    @cached_property
    def given_metrics(self) -> dict[str, float]:
        """The metrics of the volume that the stage is given."""
        return self.measure(self.given.data)

    @cached_property
    def _tissues(self) -> Segmentation:
        return self._segment(self.clean)

    def _segment(self, volume: Volume) -> Segmentation:
        return self._segmenter.segment(brain_alone(volume, self._brain_mask), self._brain_mask)

    def _dice(self, restored: np.ndarray) -> float:
        found = self._segment(self.clean.with_data(restored))
        overlaps = region_dice(found.labels, self._tissues.labels, self._tissues.regions)
        return float(np.mean(list(overlaps.values())))


@dataclass
class Outcome:
    """The result of a trial: of each validation case gain, metrics and seconds, and the volumes of the first case."""

    gains: list[float] = field(default_factory=list)
    cases: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    picture: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, case: Case, restored: np.ndarray, seconds: float) -> None:
        """Measure a restored case."""
        measured = case.measure(restored)
        self.gains.append(case.gain(measured))
        self.cases[case.name] = measured
        self.seconds.append(seconds)
        if not self.picture:
            self.picture = {"clean": case.clean.data, "given": case.given.data, "restored": restored}

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Return the value of each objective, a mean over cases."""
        return [float(np.mean(self.seconds if name == SECONDS else self.gains)) for name in objectives]

    def means(self) -> dict[str, float]:
        """Return every metric's mean over cases, the gain's and the seconds'."""
        names = next(iter(self.cases.values()))
        metrics = {name: float(np.mean([case[name] for case in self.cases.values()])) for name in names}
        return metrics | {"gain": float(np.mean(self.gains)), SECONDS: float(np.mean(self.seconds))}


Report = Callable[[int, float], None]
"""(step, value so far); raises to end a trial that is not worth going on with."""

Objective = Callable[[Config, Report], Outcome]
"""From a trial's configuration to its result."""
