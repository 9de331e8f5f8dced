"""The model registry: versions of `bmenet`, which of them is the champion, and every decision about it."""

from bmenet.release.registry.champion import promote, rollback, settle
from bmenet.release.registry.fetch import fetch_bundle, fetch_model
from bmenet.release.registry.registry import Registry
from bmenet.release.registry.run import own_run
from bmenet.release.registry.version import CHALLENGER, CHAMPION, MODEL_NAME, Version

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
