"""The logger that a training writes to; `bmenet.tracking` gives a pipeline the one that keeps what is logged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Logger(Protocol):
    """The methods that a training calls."""

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step of training or once for the run."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Record a matplotlib figure under `name`, such as ``figures/step-100.png``."""

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Record a file or folder as it is now, under `folder`."""


class NullLogger:
    """Keep nothing: the logger of a training that nobody tracks."""

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
