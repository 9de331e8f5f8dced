"""One run on disk, as far as the tracking store does not have it: a server that is down loses nothing."""

import json
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bmenet.runtime.files import read_json, write_text
from bmenet.runtime.processes import is_alive, this_process

_FILE = "run.json"
_CLAIM_TIMEOUT_S = 10.0


def now_ms() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


@dataclass
class Record:
    """A run: the facts that identify it, and a list of what the store has not taken yet.

    The list is kept in memory and written to `folder`, with the files that belong to it, until the store has
    everything; then the folder goes. Sending an entry twice changes nothing.

    Parameters
    ----------
    folder : Path
        Of this record alone.
    stage, name, experiment : str
    key : str
        Identifies the run in every store. Records with the same key are parts of one run.
    tags : dict
        Profile and code, of the run and of a parent that is made for it.
    execution, parent : str
        The pipeline execution whose run is the parent, or else the key of the run that is.
    resume_key : str or None
        Identifies the training; an unfinished run with the same key goes on.
    started, ended : int
        Milliseconds since 1970; `ended` is None while it goes on.
    status : {"RUNNING", "FINISHED", "FAILED", "KILLED"}
    unsent : list
        Entries ``[kind, *values]`` of the kinds metric (key, value, time in ms, step), param, tag, input (path, MD5)
        and file (folder in `folder`).
    steps : dict
        Metric to the last step recorded.
    store, run_id : str or None
        The store that has the run, and its id there.
    owner : list or None
        Number and start of the process that writes and sends it. Without a living owner anybody may send it.
    is_sent : bool
        Whether the store has everything, its end included.
    """

    folder: Path
    stage: str
    name: str
    experiment: str
    key: str
    tags: dict[str, str]
    execution: str = ""
    parent: str | None = None
    resume_key: str | None = None
    started: int = field(default_factory=now_ms)
    ended: int | None = None
    status: str = "RUNNING"
    unsent: list[list[Any]] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    store: str | None = None
    run_id: str | None = None
    owner: list[float] | None = None
    is_sent: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether other records may be parts of the same run."""
        return self.key != self.folder.name

    @property
    def is_idle(self) -> bool:
        """Whether no living process owns it."""
        return self.owner is None or not is_alive(int(self.owner[0]), self.owner[1])

    def own(self) -> None:
        """Make this process the owner, and the run a running one."""
        self.owner, self.status, self.ended, self.is_sent = list(this_process()), "RUNNING", None, False

    def end(self, status: str, ended: int | None = None) -> None:
        """End the run, now by default."""
        self.status, self.ended, self.is_sent = status, ended or now_ms(), False

    def end_if_killed(self) -> None:
        """End a run whose process died without a word, at the time of its last sign of life."""
        if self.status == "RUNNING":
            self.end("KILLED", (self.folder / _FILE).stat().st_mtime_ns // 1_000_000)

    def keep_file(self, path: Path, folder: str) -> None:
        """Copy a file or folder, to be sent under `folder`."""
        place = self.folder / uuid.uuid4().hex[:12]
        target = place / folder / path.name
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        self.unsent.append(["file", place.name])

    def save(self) -> None:
        """Write it to its folder; NaN is allowed, a metric may be."""
        facts = vars(self) | {"folder": None, "unsent": list(self.unsent), "steps": dict(self.steps)}  # others append
        write_text(self.folder / _FILE, json.dumps(facts))

    def settle(self) -> None:
        """Remove a record that the store has in full, unless its run may go on."""
        if self.is_sent and (self.status == "FINISHED" or self.resume_key is None):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.save()


def idle_records(root: Path) -> list[Record]:
    """Return the records under `root` that no living process owns, oldest first."""
    found = []
    for file in root.glob(f"*/{_FILE}"):
        with suppress(FileNotFoundError):  # another process has just sent and removed it
            found.append(Record(**read_json(file) | {"folder": file.parent}))
    return sorted((record for record in found if record.is_idle), key=lambda record: record.started)


def claim(new: Record) -> Record:
    """Return the unfinished record of the stage that has the key of `new`, now owned by this process, or else `new`.

    Unfinished runs of the stage with other keys will not go on.
    """
    root = new.folder.parent
    root.mkdir(parents=True, exist_ok=True)
    claimed = new
    with suppress(Timeout), records_lock(root, _CLAIM_TIMEOUT_S):  # else another sends: better a run too many
        for record in idle_records(root):
            if record.stage != new.stage or record.parent is not None:
                continue
            names = (record.key, new.key) if new.is_shared else (record.resume_key, new.resume_key)
            if names[0] is not None and names[0] == names[1] and record.status != "FINISHED":
                claimed = record
            elif record.resume_key is not None:
                record.resume_key = None
                record.settle()
        claimed.own()
    claimed.execution, claimed.tags = new.execution, new.tags
    claimed.save()
    return claimed


def records_lock(root: Path, timeout_s: float) -> FileLock:
    """Return the lock of whoever takes or sends idle records."""
    return FileLock(root / ".records.lock", timeout=timeout_s)
