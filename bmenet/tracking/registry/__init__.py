"""The model registry: versions of `bmenet`, which of them is the champion, and every decision about it."""

from bmenet.tracking.registry.champion import promote, rollback, settle
from bmenet.tracking.registry.fetch import fetch_bundle, fetch_model
from bmenet.tracking.registry.registry import Registry
from bmenet.tracking.registry.run import own_run
from bmenet.tracking.registry.version import CHALLENGER, CHAMPION, MODEL_NAME, Version

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "MODEL_NAME",
    "Registry",
    "Version",
    "fetch_bundle",
    "fetch_model",
    "own_run",
    "promote",
    "rollback",
    "settle",
]
