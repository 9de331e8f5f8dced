"""The logger that a training writes to; `bmenet.tracking` gives a pipeline the one that keeps what is logged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class NullLogger:
    """Keep nothing: the logger of a training that nobody tracks, and the base of all others."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Do nothing."""

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Do nothing."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Do nothing."""

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""


Logger = NullLogger
"""What every logger is."""
