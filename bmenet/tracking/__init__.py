"""Experiment tracking: a run per pipeline execution, stages under it, trials under a study."""

from bmenet.tracking.logger import RunLogger
from bmenet.tracking.run import log_trial, sync, track_stage

__all__ = ["RunLogger", "log_trial", "sync", "track_stage"]
