"""Serve a model over HTTP: the checks, the queue and the answers, whatever server they run in."""

from bmenet.serving.guard import Guard
from bmenet.serving.jobs import Cancel
from bmenet.serving.limits import Limits
from bmenet.serving.refusal import Refusal
from bmenet.serving.request import Request, parse_records
from bmenet.serving.service import Service

__all__ = ["Cancel", "Guard", "Limits", "Refusal", "Request", "Service", "parse_records"]
