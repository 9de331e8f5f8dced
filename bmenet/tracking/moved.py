"""A workspace that was copied or moved: the addresses in its database are led back into it."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_ENDING = "/mlflow/artifacts"
"""Of the address that `Store` gives to every experiment in a workspace."""


def mend_addresses(database: Path, artifacts: str) -> int:
    """Replace the workspace that addresses of artifacts begin with, where it is not this one; say it on stderr.

    MLflow keeps absolute addresses: without this a copy's champion would be read from the original, and what is
    published in the copy written there.

    Parameters
    ----------
    database : Path
        The workspace's sqlite file.
    artifacts : str
        The ``file://`` address of the workspace's artifacts.

    Returns
    -------
    int
        How many addresses were changed; all or none are.
    """
    changed = 0
    with closing(sqlite3.connect(database)) as connection, connection:
        found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        for (former,) in found:
            if former == artifacts or not (former or "").startswith("file:") or not former.endswith(_ENDING):
                continue
            for table, column in _COLUMNS:
                changed += connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (artifacts, len(former) + 1, former, len(former) + 1, f"{former}/"),
                ).rowcount
    if changed:
        print(f"mlflow: the workspace was copied or moved; {changed} addresses now lead into this one", file=sys.stderr)
    return changed
