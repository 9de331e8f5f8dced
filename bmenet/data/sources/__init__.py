"""Where scans come from: a new source is a new file and a line in this table."""

from collections.abc import Callable
from pathlib import Path

from bmenet.config import Config
from bmenet.data.sources.base import Source, Subject, select
from bmenet.data.sources.bids import BidsSource
from bmenet.data.sources.folder import FolderSource
from bmenet.data.sources.openneuro import OpenNeuroSource
from bmenet.data.sources.sample import SampleSource

SOURCES: dict[str, Callable[[Config, Path], Source]] = {
    "sample": SampleSource.from_config,
    "openneuro": OpenNeuroSource.from_config,
    "bids": BidsSource.from_config,
    "folder": FolderSource.from_config,
}
"""Name, as in ``data.source``, to a function of the configuration and of a folder for unfinished downloads."""

__all__ = ["SOURCES", "Source", "Subject", "select"]
