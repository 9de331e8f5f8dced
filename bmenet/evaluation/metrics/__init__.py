"""Metrics of a restored volume against the clean one."""

from bmenet.evaluation.metrics.measure import METRICS, Metric

__all__ = ["METRICS", "Metric"]
