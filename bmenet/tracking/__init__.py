"""Experiment tracking: a parent run per pipeline execution, a child run per stage; the only folder importing mlflow."""

from bmenet.tracking.run import NullLogger, RunLogger, track_stage
from bmenet.tracking.sender import sync

__all__ = ["NullLogger", "RunLogger", "sync", "track_stage"]
