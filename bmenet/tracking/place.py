"""Where runs are kept: the tracking store, its artifacts, and the spool of what is still to be sent."""

import os
from dataclasses import dataclass
from pathlib import Path

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_DATABASE = "mlflow.db"


@dataclass(frozen=True)
class Place:
    """Addresses of the tracking store, all absolute.

    Parameters
    ----------
    folder : Path
        The workspace's ``mlflow`` folder.
    uri : str
        ``MLFLOW_TRACKING_URI`` where it is set, else the sqlite file in `folder`.
    """

    folder: Path
    uri: str

    @classmethod
    def of_workspace(cls) -> "Place":
        """Return the place that belongs to the current folder.

        An experiment that DVC runs in a temporary copy (``.dvc/tmp/exps/...``) is kept in the workspace it came from.
        """
        here = Path.cwd()
        copies = [parent for parent in (here, *here.parents) if parent.parts[-3:] == (".dvc", "tmp", "exps")]
        root = copies[-1].parents[2] if copies else here
        folder = root / "mlflow"
        return cls(folder, os.environ.get(URI_VARIABLE) or f"sqlite:///{folder / _DATABASE}")

    @property
    def is_missing(self) -> bool:
        """Whether the store is the workspace's sqlite file and nobody has made it yet."""
        database = self.folder / _DATABASE
        return self.uri == f"sqlite:///{database}" and not database.exists()

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps artifacts; a server decides that itself."""
        return None if self.uri.startswith("http") else (self.folder / "artifacts").as_uri()

    @property
    def spool(self) -> Path:
        """What is still to be sent, one folder per run."""
        return self.folder / "spool"
