"""Which running trials are still being run, and what becomes of those that are not."""

import hashlib
import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from bmenet.runtime.processes import is_alive, this_process
from bmenet.tuning.study import ENDED_BY, IS_DEFAULT

_BEAT_S = 30.0
_GRACE_S = 300.0
"""A trial on another machine whose beat has not changed for so long is dead."""
_WORKER, _BEAT, _DEATHS = "worker", "beat", "deaths"
_MAX_DEATHS = 1


@cache
def this_machine() -> str:
    """Name the machine, or the container, that process numbers hold for; a hash, since names tell of people."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            parts.append(os.readlink(path) if "/ns/" in path else Path(path).read_text())
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


@contextmanager
def signals_later() -> Iterator[list[int]]:
    """Let SIGTERM and SIGINT come to nothing inside the block; yield a list that receives them, to be raised after."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread is interrupted by signals
        return
    chosen = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, lambda number, _: received.append(number)) for number in chosen]
    try:
        yield received
    finally:
        for number, handler in zip(chosen, previous, strict=True):
            signal.signal(number, handler)


class Alive:
    """A context in which a trial is marked as run by this process; a thread beats for those who watch from elsewhere.

    Parameters
    ----------
    trial : optuna.Trial
    """

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        pid, started = this_process()
        self._trial.set_user_attr(_WORKER, {"machine": this_machine(), "pid": pid, "started": started})
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        count = 0
        while not self._ended.wait(_BEAT_S):
            count += 1
            with suppress(Exception):  # a database that does not answer now may do so next time
                self._trial.set_user_attr(_BEAT, count)


class Watch:
    """Find dead trials: at once where their process was on this machine, after five silent minutes elsewhere.

    Clocks of other machines are not believed: a beat that does not change counts from when it was first seen.

    Parameters
    ----------
    study : optuna.Study
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._seen: dict[int, tuple[Any, float]] = {}

    def bury(self) -> list[FrozenTrial]:
        """End every dead trial, put each back into the queue once, and return them."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if self._is_dead(trial) and put_back(self._study, trial, died=True)]

    def _is_dead(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get(_WORKER)
        if worker is not None and worker["machine"] == this_machine():
            return not is_alive(worker["pid"], worker["started"])
        sign, now = (worker, trial.user_attrs.get(_BEAT)), time.monotonic()
        before, since = self._seen.get(trial.number, (None, now))
        if trial.number not in self._seen or before != sign:
            self._seen[trial.number] = sign, now
            return False
        return now - since > _GRACE_S


def put_back(study: optuna.Study, trial: FrozenTrial, died: bool) -> bool:
    """End a trial as failed and queue its values again; a trial whose process died twice is not tried a third time.

    Returns
    -------
    bool
        Whether it was this call that ended it: of several who find the same dead trial, one does.
    """
    deaths = trial.user_attrs.get(_DEATHS, 0) + died
    is_retried = deaths <= _MAX_DEATHS
    reason = "its process died" if died else "interrupted"
    try:
        if is_retried:  # a second death counts as a failure of these values
            study._storage.set_trial_user_attr(trial._trial_id, ENDED_BY, reason)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
    if is_retried:
        kept = {IS_DEFAULT: True} if trial.user_attrs.get(IS_DEFAULT) else {}
        # A process that died at once had not taken the values that were queued.
        values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(values, user_attrs=kept | {_DEATHS: deaths, "retry_of": trial.number})
    return True
