"""The model registry: versions of `bmenet`, and which of them is the champion."""

from bmenet.release.registry.registry import Registry
from bmenet.release.registry.store import (
    CHALLENGER,
    CHAMPION,
    MODEL_NAME,
    SPACING_TAG,
    Version,
    fetch_bundle,
    fetch_model,
)

__all__ = ["CHALLENGER", "CHAMPION", "MODEL_NAME", "SPACING_TAG", "Registry", "Version", "fetch_bundle", "fetch_model"]
