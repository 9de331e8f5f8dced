"""What a run has to say, on disk first: a server that is down or a killed process loses nothing."""

import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bmenet.runtime.files import read_json, write_json
from bmenet.runtime.processes import is_alive, this_process

_METRICS_PER_BATCH = 1000


def now_ms() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


class Spool:
    """The folder of one run: a header, the records in order, the files waiting, and how much has been sent.

    A record is one line of JSON with a `kind` (start, params, metrics, tags, inputs, artifact, end). Sending a record
    twice changes nothing, so the mark of what has been sent may lag behind.

    Parameters
    ----------
    folder : Path
        An existing spool; `Spool.create` makes one.
    header : dict, optional
        What its header says, where the header is not on disk yet.
    """

    def __init__(self, folder: Path, header: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.header: dict[str, Any] = read_json(folder / "run.json") if header is None else header
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls,
        root: Path,
        stage: str,
        experiment: str,
        resume_key: str | None,
        run: str | None = None,
        parent: str | None = None,
    ) -> "Spool":
        """Make the spool of a run, owned by this process.

        `run` is the key of a run that other spools may write too, else the run is a new one; `parent` is the key of the
        run it is nested under.
        """
        spool = cls.planned(root, stage, experiment, resume_key, run, parent)
        spool.own()
        return spool

    @classmethod
    def planned(
        cls,
        root: Path,
        stage: str,
        experiment: str,
        resume_key: str | None,
        run: str | None = None,
        parent: str | None = None,
    ) -> "Spool":
        """Return what `create` makes, but with nothing on disk before `own`, which a full disk can refuse."""
        name = uuid.uuid4().hex
        header = {
            "run": run or name,
            "parent": parent,
            "stage": stage,
            "experiment": experiment,
            "resume_key": resume_key,
            "created": now_ms(),
        }
        return cls(root / name, header)

    def own(self) -> None:
        """Make this process the one that writes and sends."""
        pid, started = this_process()
        self._update_header(pid=pid, process_started=started)

    def release(self) -> None:
        """Give the spool up: whatever is left in it may be sent by anyone."""
        self._update_header(pid=None)

    def abandon(self) -> None:
        """Forget the resume key: the run will not go on."""
        self._update_header(resume_key=None)

    @property
    def parent(self) -> str | None:
        """Key of the run that this one is nested under; None for the run of a stage."""
        return self.header.get("parent")  # older spools do not say

    @property
    def is_shared(self) -> bool:
        """Whether other spools may hold records of the same run."""
        return self.header["run"] != self.folder.name

    @property
    def is_in_use(self) -> bool:
        """Whether the process that owns the spool is alive."""
        if self.header["pid"] is None:
            return False
        return is_alive(self.header["pid"], self.header["process_started"])

    def append(self, kind: str, **fields: Any) -> None:
        """Add a record; it survives the process, because it has left the process's buffers."""
        line = json.dumps({"kind": kind, "time": now_ms(), **fields}) + "\n"
        with self._lock, open(self._records_file, "a", encoding="utf-8") as handle:
            handle.write(line)

    def new_place(self, name: str) -> str:
        """Return a free place in the spool, relative to it, for a file or folder called `name`."""
        folder = self.folder / "files" / uuid.uuid4().hex[:12]
        folder.mkdir(parents=True)
        return (folder / name).relative_to(self.folder).as_posix()

    def keep_file(self, path: Path) -> str:
        """Copy a file or folder into the spool and return its place there."""
        place = self.new_place(path.name)
        if path.is_dir():
            shutil.copytree(path, self.folder / place)
        else:
            shutil.copyfile(path, self.folder / place)
        return place

    def records(self, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the whole records from byte `offset` on, each with the offset after it."""
        with suppress(FileNotFoundError), open(self._records_file, "rb") as handle:
            handle.seek(offset)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                with suppress(ValueError):  # a line that a power cut tore
                    yield json.loads(line), offset

    def batches(self, offset: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the records from byte `offset` on, with neighbouring metrics records joined.

        A joined record has ``values``: a list of (key, value, time in ms, step), at most 1000 of them.
        """
        values: list[tuple[str, float, int, int]] = []
        end = offset
        for record, after in self.records(offset):
            is_full = len(values) + len(record.get("values", ())) > _METRICS_PER_BATCH
            if values and (record["kind"] != "metrics" or is_full):
                yield {"kind": "metrics", "values": values}, end
                values = []
            if record["kind"] == "metrics":
                values += [(key, value, record["time"], record["step"]) for key, value in record["values"].items()]
            else:
                yield record, after
            end = after
        if values:
            yield {"kind": "metrics", "values": values}, end

    def last_steps(self) -> dict[str, int]:
        """Return the last step at which each metric was recorded."""
        steps: dict[str, int] = {}
        for record, _ in self.records():
            if record["kind"] == "metrics":
                steps |= dict.fromkeys(record["values"], record["step"])
        return steps

    @property
    def status(self) -> str:
        """FINISHED, FAILED or KILLED once the run has ended, RUNNING before."""
        status = "RUNNING"
        for record, _ in self.records():
            status = record["status"] if record["kind"] == "end" else "RUNNING"
        return status

    @property
    def last_sign_ms(self) -> int:
        """When the last record was written."""
        try:
            return self._records_file.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return self.header["created"]

    def sent(self, store: str) -> tuple[str | None, int]:
        """Return the run's id in `store` and the offset up to which that store has the records."""
        with suppress(FileNotFoundError):
            mark = read_json(self.folder / "sent.json")
            if mark["store"] == store:
                return mark["run_id"], mark["offset"]
        return None, 0

    def is_sent(self, store: str) -> bool:
        """Whether `store` has every record."""
        return all(False for _ in self.records(self.sent(store)[1]))

    def mark_sent(self, store: str, run_id: str | None, offset: int) -> None:
        """Note that `store` has everything before `offset`, under the run `run_id`."""
        write_json(self.folder / "sent.json", {"store": store, "run_id": run_id, "offset": offset})

    def discard(self) -> None:
        """Remove the spool from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _records_file(self) -> Path:
        return self.folder / "records.jsonl"

    def _update_header(self, **changes: Any) -> None:
        self.header |= changes
        write_json(self.folder / "run.json", self.header)


def idle_spools(root: Path) -> list[Spool]:
    """Return the spools under `root` that no living process owns, oldest first."""
    return [spool for spool in _spools(root) if not spool.is_in_use]


def nested_spools(root: Path, parent: str) -> list[Spool]:
    """Return the spools under `root` of the runs nested under `parent`, in use or not, oldest first."""
    return [spool for spool in _spools(root) if spool.parent == parent]


def _spools(root: Path) -> list[Spool]:
    spools = []
    for header in root.glob("*/run.json"):
        with suppress(FileNotFoundError):  # another process has just sent and removed it
            spools.append(Spool(header.parent))
    return sorted(spools, key=lambda spool: spool.header["created"])
