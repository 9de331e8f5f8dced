"""One run on disk, as far as the tracking store does not have it: a server that is down loses nothing."""

import json
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.markup import escape

from bmenet.runtime.files import read_json, write_text
from bmenet.runtime.progress import console
from bmenet.runtime.threads import is_alive, this_process

_FILE, _ENTRIES = "run.json", "entries.jsonl"
_CLAIM_TIMEOUT_S = 60.0


@cache
def warn_once(message: str) -> None:
    """Print a warning, once a process."""
    console.print(f"[yellow]tracking[/yellow]: {escape(message)}", soft_wrap=True)


def now_ms() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


@dataclass
class Record:
    """A run: the facts that identify it, and a list of what the store has not taken yet.

    Every entry of the list is also a line of a file in `folder`, where the files that belong to it lie, too, until the
    store has everything; then the folder goes. Sending an entry twice changes nothing, so the count of what was sent
    may lag behind.

    Parameters
    ----------
    folder : Path
        Of this record alone.
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
    sent : int
        Lines of the file that the store has.
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
    sent: int = 0
    steps: dict[str, int] = field(default_factory=dict)
    store: str | None = None
    run_id: str | None = None
    owner: list[float] | None = None
    is_sent: bool = False
    _written: int = field(default=0, init=False)  # of `unsent`, from its start
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

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
            self.end("KILLED", max(file.stat().st_mtime_ns for file in self.folder.glob("*.json*")) // 1_000_000)

    def add(self, *entries: list[Any]) -> None:
        """Add to what is to be sent, on disk too: that survives the process. NaN is allowed, a metric may be.

        Raises
        ------
        OSError
            If the disk is full; they are sent nevertheless, and written with the next ones.
        """
        with self._lock:
            self.unsent.extend(entries)
            new = self.unsent[self._written :]
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self.folder / _ENTRIES, "a", encoding="utf-8") as handle:
                # The line break comes first: a line that was torn spoils no other.
                handle.write("".join(f"\n{json.dumps(entry)}" for entry in new))
            self._written += len(new)

    def forget(self, count: int) -> None:
        """Take off the first entries, which the store has."""
        with self._lock:
            written = min(count, self._written)
            del self.unsent[:count]
            self.sent, self._written = self.sent + written, self._written - written

    def load(self) -> None:
        """Read what is to be sent from the file."""
        with suppress(FileNotFoundError):
            for line in (self.folder / _ENTRIES).read_bytes().split(b"\n")[1 + self.sent :]:
                with suppress(ValueError):  # torn
                    self.unsent.append(json.loads(line))
        self._written = len(self.unsent)
        for kind, key, *values in self.unsent:
            if kind == "metric":
                self.steps[key] = max(values[-1], self.steps.get(key, -1))

    def keep_file(self, path: Path, folder: str) -> None:
        """Copy a file or folder, to be sent under `folder`."""
        place = self.folder / uuid.uuid4().hex[:12]
        target = place / folder / path.name
        target.parent.mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        self.add(["file", place.name])

    def save(self) -> None:
        """Write all but the entries, which are on disk already."""
        facts = {one.name: getattr(self, one.name) for one in fields(self) if one.init}
        facts |= {"steps": dict(self.steps)}  # another thread adds to them
        del facts["folder"], facts["unsent"]
        write_text(self.folder / _FILE, json.dumps(facts))

    def settle(self) -> None:
        """Remove a record that the store has in full, unless its run may go on."""
        if self.is_sent and (self.status == "FINISHED" or self.resume_key is None):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.save()


def idle_records(root: Path) -> list[Record]:
    """Return the records under `root` that no living process owns, oldest first; warn of one that cannot be read."""
    found = []
    for file in root.glob(f"*/{_FILE}"):
        try:
            record = Record(**read_json(file), folder=file.parent)
            if record.is_idle:
                if not record.is_sent:
                    record.load()
                found.append(record)
        except FileNotFoundError:
            pass  # another process has just sent and removed it
        except Exception as error:  # JSON of any shape can stand there
            warn_once(f"{file}: damaged, or of another version: left alone ({error})")
    return sorted(found, key=lambda record: record.started)


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
                record.end_if_killed()
                record.settle()
        claimed.own()
    claimed.execution, claimed.tags = new.execution, new.tags
    claimed.save()
    return claimed


def records_lock(root: Path, timeout_s: float) -> FileLock:
    """Return the lock of whoever takes or sends idle records."""
    return FileLock(root / ".records.lock", timeout=timeout_s)
