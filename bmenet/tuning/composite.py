"""What counts as better: a named composite of metrics."""

from collections.abc import Mapping

from bmenet.evaluation.metrics import METRICS

DICE = "dice"
"""The mean overlap of the tissues with the clean volume's; beside the metrics of `bmenet.evaluation.metrics`."""


def gain(weights: Mapping[str, float], restored: Mapping[str, float], given: Mapping[str, float]) -> float:
    """Return by how much a restored volume is better than what it was made from: the weighted sum of the gains.

    Whichever way a metric points, a positive gain is better.

    Parameters
    ----------
    weights : mapping
        Metric to weight, points a unit of the metric.
    restored, given : mapping
        Metric to value, of the result and of the volume that the stage was given.
    """
    return sum(weight * sign(metric) * (restored[metric] - given[metric]) for metric, weight in weights.items())


def sign(metric: str) -> int:
    """Return 1 where more of a metric is better, else -1."""
    return -1 if metric in METRICS and METRICS[metric].lower_is_better else 1
