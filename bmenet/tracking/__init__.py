"""Experiment tracking: a run per pipeline execution, stages under it, trials under a study."""

from bmenet.tracking.logger import RunLogger
from bmenet.tracking.run import TrialRun, log_trial, start_trial, sync, track_stage

__all__ = ["RunLogger", "TrialRun", "log_trial", "start_trial", "sync", "track_stage"]
