"""Send spools to the tracking store: from a thread while a stage runs, and later what was left over."""

import threading
from contextlib import suppress

from filelock import FileLock, Timeout
from rich.markup import escape

from bmenet.runtime.errors import TrackingError
from bmenet.runtime.progress import console
from bmenet.tracking.place import Place
from bmenet.tracking.spool import Spool, idle_spools, nested_spools
from bmenet.tracking.store import Store

_INTERVAL_S = 5.0
_RETRY_S = 30.0
_CLAIM_TIMEOUT_S = 60.0


class Sender(threading.Thread):
    """Send one run's spool every few seconds, with those of the runs nested under it; what earlier runs left first.

    A store that does not answer is tried again later; training never waits for it, and hears of it once.

    Parameters
    ----------
    spool : Spool
        The run of this process.
    place : Place
        Where it goes.
    """

    def __init__(self, spool: Spool, place: Place) -> None:
        super().__init__(name="tracking", daemon=True)
        self._spool = spool
        self._place = place
        self._store: Store | None = None
        self._has_tried_leftovers = False
        self._closing = threading.Event()
        self._has_warned = False

    def run(self) -> None:
        """Send until `close`, then once more, unless the store has just failed."""
        is_last = is_sent = False
        while not is_last:
            is_last = self._closing.is_set()
            is_sent = self._attempt()
            is_last |= self._closing.is_set() and not is_sent
            if not is_last:
                self._closing.wait(_INTERVAL_S if is_sent else _RETRY_S)
        with suppress(OSError):  # a full disk; the spool is free once this process is gone
            self._spool.release()
        if is_sent:
            _settle(self._spool)

    def close(self) -> None:
        """Send the rest; bounded by the time the store takes to answer or to fail once."""
        self._closing.set()
        self.join()

    def _attempt(self) -> bool:
        """Send everything there is; return whether that succeeded."""
        try:
            self._store = self._store or Store(self._place)
            if not self._has_tried_leftovers:
                self._has_tried_leftovers = True
                _send_leftovers(self._store, self._place)
            refused = self._store.send(self._spool)
            refused += _send_nested(self._store, self._place, self._spool.header["run"])
            if refused:
                self._warn(f"{len(refused)} records were refused by the tracking store ({refused[0]})")
        except Exception as error:
            self._warn(
                f"the tracking store does not take records ({_reason(error)}); they are kept in mlflow/spool and sent "
                "later: by this stage, the next one, or `bmenet sync-tracking`"
            )
            return False
        return True

    def _warn(self, message: str) -> None:
        if not self._has_warned:
            console.print(f"[yellow]tracking[/yellow]: {escape(message)}", soft_wrap=True)
            self._has_warned = True


def claim(place: Place, stage: str, experiment: str, resume_key: str | None, run_key: str | None = None) -> Spool:
    """Return the spool for a new run of `stage`, or for the unfinished one with the same `resume_key`.

    With a `run_key` the spool is one of the run of that name, which other spools may write too.
    """
    place.spool.mkdir(parents=True, exist_ok=True)
    try:
        with _spools_lock(place, _CLAIM_TIMEOUT_S):
            unfinished = _unfinished(place, stage, resume_key, run_key)
    except Timeout:  # a long sync in another process: better a run too many than a stage that waits
        unfinished = None
    return unfinished or Spool.create(place.spool, stage, experiment, resume_key, run_key)


def sync() -> int:
    """Send what earlier runs of this workspace left in the spool, and return how many runs that was.

    Raises
    ------
    TrackingError
        If the tracking store does not take them; they stay in the spool.
    """
    place = Place.of_workspace()
    waiting = idle_spools(place.spool)
    if not waiting:
        return 0
    try:
        return _send_leftovers(Store(place), place)
    except Exception as error:
        raise TrackingError(
            f"expected a tracking store that takes {len(waiting)} runs; got: {_reason(error)}; they stay in "
            "mlflow/spool: start the server, or correct MLFLOW_TRACKING_URI, and run this again"
        ) from error


def _unfinished(place: Place, stage: str, resume_key: str | None, run_key: str | None) -> Spool | None:
    """Take over the unfinished run of `stage` with this key, if there is one; other keys will not go on."""
    for spool in idle_spools(place.spool):
        key = spool.header["resume_key"]
        if spool.header["stage"] != stage or key is None:
            continue
        is_same_run = run_key is None or run_key == spool.header["run"]
        if key == resume_key and is_same_run and spool.status != "FINISHED":
            _mark_killed(spool)
            spool.own()
            return spool
        spool.abandon()
    return None


def _send_leftovers(store: Store, place: Place) -> int:
    """Send every spool whose process is gone, oldest first; a run that never ended was killed."""
    sent = 0
    try:
        with _spools_lock(place, 0):
            for spool in idle_spools(place.spool):
                _mark_killed(spool)
                sent += not spool.is_sent(store.name)
                store.send(spool)
                _settle(spool)
    except Timeout:
        pass  # another process is at it
    return sent


def _send_nested(store: Store, place: Place, parent: str) -> list[str]:
    """Send the runs nested under `parent`, those that go on as far as they are; return what the store refused."""
    refused = []
    try:
        with _spools_lock(place, 0):
            for spool in nested_spools(place.spool, parent):
                is_idle = not spool.is_in_use  # its owner may still write to it, even after its end
                if is_idle:
                    _mark_killed(spool)
                refused += store.send(spool)
                if is_idle:
                    _settle(spool)
    except Timeout:
        pass  # another process is at it
    return refused


def _mark_killed(spool: Spool) -> None:
    """End a run whose process died without a word."""
    if spool.status == "RUNNING":
        spool.append("end", status="KILLED", ended=spool.last_sign_ms)


def _settle(spool: Spool) -> None:
    """Remove a spool that was sent in full, unless its run may go on."""
    if spool.status == "FINISHED" or spool.header["resume_key"] is None:
        spool.discard()


def _reason(error: Exception) -> str:
    """Say in one line what an error says in many."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _spools_lock(place: Place, timeout_s: float) -> FileLock:
    return FileLock(place.spool / ".spools.lock", timeout=timeout_s)
