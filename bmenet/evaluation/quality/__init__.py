"""How good one scan is, without another to compare it to."""

from bmenet.evaluation.quality.scans import MEASURES, Measure

__all__ = ["MEASURES", "Measure"]
