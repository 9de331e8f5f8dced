"""Experiment tracking: a run per pipeline execution, stages under it, trials under a study; only here is mlflow."""

from bmenet.runtime.logger import NullLogger
from bmenet.tracking.run import RunLogger, TrialRun, start_trial, track_stage
from bmenet.tracking.sender import sync

__all__ = ["NullLogger", "RunLogger", "TrialRun", "start_trial", "sync", "track_stage"]
