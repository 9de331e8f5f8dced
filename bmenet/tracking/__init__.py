"""Experiment tracking: a run per pipeline execution, stages under it, trials under a study."""

from bmenet.runtime.logger import NullLogger
from bmenet.tracking.logger import RunLogger
from bmenet.tracking.run import TrialRun, log_trial, start_trial, sync, track_stage

__all__ = ["NullLogger", "RunLogger", "TrialRun", "log_trial", "start_trial", "sync", "track_stage"]
