"""What each cached case was made from, kept beside the outputs and never inside them.

An output that held its own key would change with every reworded line of code, and all that depends on it with it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmenet.runtime.files import read_json, sha256, write_json


def join_key(*parts: Any) -> str:
    """Hash all that decides a case: checksums, settings (anything that JSON can say), hashes of code."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class CaseIndex:
    """A folder with one small JSON file for each case that is done: its key, and the checksums of its files.

    The entry is written after the files of the case, so a killed process leaves a case that is done again.

    Parameters
    ----------
    folder : Path
        Beside the outputs, and no output of the pipeline itself.
    """

    folder: Path

    def holds(self, case: str, key: str, *files: Path) -> bool:
        """Tell whether the case was made from what `key` says, and its files are still as they were then."""
        try:
            entry = read_json(self._entry(case))
            return entry == {"key": key, "files": _checksums(files)}
        except (FileNotFoundError, ValueError):
            return False

    def record(self, case: str, key: str, *files: Path) -> None:
        """Note that the case was made from what `key` says; its files must be in place."""
        write_json(self._entry(case), {"key": key, "files": _checksums(files)})

    def keep_only(self, cases: Iterable[str]) -> None:
        """Drop the entries of all other cases."""
        kept = {self._entry(case) for case in cases}
        for path in self.folder.glob("*.json"):
            if path not in kept:
                path.unlink()

    def _entry(self, case: str) -> Path:
        return self.folder / f"{case}.json"


def _checksums(files: Iterable[Path]) -> dict[str, str]:
    return {path.name: sha256(path) for path in files}
