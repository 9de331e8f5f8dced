"""Where scans come from: a new source is a new file and a line in this table."""

from collections.abc import Callable
from pathlib import Path

from bmenet.config import Config
from bmenet.data.sources.base import Source, Subject, select
from bmenet.data.sources.folder import BidsSource, FolderSource
from bmenet.data.sources.openneuro import BUCKET, OpenNeuroSource
from bmenet.data.sources.sample import SampleSource
from bmenet.runtime.errors import SourceError


def _root(config: Config) -> Path:
    """Return ``data.root``, which must be a folder."""
    data = config.data
    if data.root is None or not Path(data.root).is_dir():
        raise SourceError(
            f"params.yaml: data.root: expected the folder with the scans of source {data.source}; got {data.root!r}"
        )
    return Path(data.root)


SOURCES: dict[str, Callable[[Config, Path], Source]] = {
    "sample": lambda config, _: SampleSource(
        config.data.sample.subjects, config.data.sample.deformation_mm, config.grid.spacing_mm, config.seed
    ),
    "openneuro": lambda config, downloads: OpenNeuroSource(config.data.mirror or BUCKET, downloads),
    "bids": lambda config, _: BidsSource(_root(config)),
    "folder": lambda config, _: FolderSource(_root(config), config.data.covariates),
}
"""Name, as in ``data.source``, to a function of the configuration and of a folder for unfinished downloads."""

__all__ = ["SOURCES", "Source", "Subject", "select"]
