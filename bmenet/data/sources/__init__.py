"""Where scans come from: a new source is a new file and a line in this table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bmenet.config import Config, SourceConfig
from bmenet.data.sources.base import DataSet, Source, Subject, select
from bmenet.data.sources.folder import BidsSource, FolderSource
from bmenet.data.sources.openneuro import OpenNeuroSource
from bmenet.data.sources.sample import SampleSource
from bmenet.runtime.errors import SourceError


@dataclass(frozen=True)
class Entry:
    """An entry of ``data.sources``, its key, all of params.yaml, and a folder for unfinished downloads."""

    settings: SourceConfig
    key: str
    config: Config
    downloads: Path

    @property
    def root(self) -> Path:
        """The entry's root, which must be a folder."""
        root = self.settings.root
        if root is None or not Path(root).is_dir():
            raise SourceError(
                f"params.yaml: {self.key}.root: expected the folder with the scans of source {self.settings.source};"
                f" got {root!r}"
            )
        return Path(root)


SOURCES: dict[str, Callable[[Entry], Source]] = {
    "sample": lambda entry: SampleSource(
        entry.config.data.sample.subjects,
        entry.config.data.sample.deformation_mm,
        entry.config.grid.spacing_mm,
        entry.config.seed,
    ),
    "openneuro": lambda entry: OpenNeuroSource.at(entry.settings.dataset, entry.settings.mirror, entry.downloads),
    "bids": lambda entry: BidsSource(entry.root, key=entry.key),
    "folder": lambda entry: FolderSource(entry.root, entry.settings.covariates, entry.key),
}
"""Name, as ``source`` in an entry of ``data.sources``, to a function of that entry."""


def open_datasets(config: Config, downloads: Path) -> list[DataSet]:
    """Return every data set of ``data.sources`` with the subjects that are wanted of it; no scan is read.

    Raises
    ------
    SourceError
        If a data set cannot be listed, or has not what is wanted.
    """
    found = []
    for number, settings in enumerate(config.data.sources):
        entry = Entry(settings, f"data.sources[{number}]", config, downloads / settings.name)
        source = SOURCES[settings.source](entry)
        subjects = select(source.subjects(), settings.subjects, entry.key)
        found.append(DataSet(settings.name, settings.source, source, subjects))
    return found


__all__ = ["SOURCES", "DataSet", "Entry", "Source", "Subject", "open_datasets", "select"]
