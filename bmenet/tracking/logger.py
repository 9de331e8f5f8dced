"""The logger of a run: it notes what is logged in the run's record, and a thread sends it from there."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.markup import escape

from bmenet.runtime.errors import TrackingError
from bmenet.runtime.logger import NullLogger
from bmenet.runtime.progress import console
from bmenet.tracking.record import Record, now_ms
from bmenet.tracking.store import Place, Store, in_one_line

_INTERVAL_S = 5.0
_RETRY_S = 30.0
_ID_TIMEOUT_S = 90.0
_MAX_PARAM_LENGTH = 500


class RunLogger(NullLogger):
    """Log one run; the caller never waits for the tracking store.

    Parameters
    ----------
    record : Record
        The run. Steps that an interrupted run has already recorded are not recorded twice when it goes on.
    place : Place
        The store's.
    """

    def __init__(self, record: Record, place: Place) -> None:
        self.record = record
        self._place = place
        self._thread = threading.Thread(target=self._send_until_closed, name="tracking", daemon=True)
        self._closing, self._id_known = threading.Event(), threading.Event()
        self._store: Store | None = None
        self._next_idle = 0.0
        self._warned: set[str] = set()

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers, at a step of training or once for the run."""
        steps, now = self.record.steps, now_ms()
        new = {key: float(value) for key, value in values.items() if step is None or step > steps.get(key, -1)}
        self._add([["metric", key, value, now, step or 0] for key, value in new.items()])
        if step is not None:
            steps.update(dict.fromkeys(new, step))

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record settings; each key can be set only once in a run."""
        self._add([["param", key, str(value)[:_MAX_PARAM_LENGTH]] for key, value in values.items()])

    def log_artifact(self, path: Path | str, folder: str = "") -> None:
        """Record a file or folder as it is now, under `folder`.

        Raises
        ------
        FileNotFoundError
            If there is nothing at `path`.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"expected a file or folder to record; got {path}, which is not there")
        with self.forgiving():
            self.record.keep_file(path, folder)

    def log_figure(self, figure: Any, name: str) -> None:
        """Record a matplotlib figure under `name`, such as ``figures/step-100.png``."""
        with self.forgiving(), TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            figure.savefig(path)
            self.record.keep_file(path, Path(name).parent.as_posix())

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Record labels; a later value replaces an earlier one."""
        self._add([["tag", key, str(value)] for key, value in values.items()])

    def run_id(self) -> str:
        """Return the id that the store gave to the run; wait until the store has it.

        Raises
        ------
        TrackingError
            If the store does not take it within 90 s.
        """
        if not self._id_known.wait(_ID_TIMEOUT_S):
            raise TrackingError(
                f"expected the tracking store to take the run of the stage {self.record.stage} within "
                f"{_ID_TIMEOUT_S:.0f} s; it did not; start the server, or correct MLFLOW_TRACKING_URI, and run it again"
            )
        return str(self.record.run_id)

    def _add(self, entries: list[list[Any]]) -> None:
        if entries:
            with self.forgiving():
                self.record.add(*entries)

    @contextmanager
    def forgiving(self) -> Iterator[None]:
        """Let a full disk cost records, and one warning, but not the stage."""
        try:
            yield
        except OSError as error:
            self._warn("disk", f"records are lost: {error}")

    def start(self) -> None:
        """Send every few seconds from now on; MLflow measures the machine meanwhile, under ``system/``."""
        self._thread.start()

    def close(self, status: str) -> None:
        """End the run and send the rest; bounded by the time that the store takes to answer or to fail."""
        self._closing.set()
        self._thread.join()
        self.record.end(status)
        with self.forgiving():
            self.record.save()
        self._next_idle = 0.0
        self._attempt()
        self.record.owner = None
        with self.forgiving():
            self.record.settle()

    def _send_until_closed(self) -> None:
        """Save and send every few seconds; a store that does not answer is asked again later."""
        monitor, next_attempt = None, 0.0
        while not self._closing.is_set():
            with self.forgiving():
                self.record.save()
            if time.monotonic() >= next_attempt:
                is_sent = self._attempt()
                next_attempt = 0.0 if is_sent else time.monotonic() + _RETRY_S
                if is_sent:
                    with suppress(Exception):  # the run is worth more than its system metrics
                        monitor = self._running(monitor)
            self._closing.wait(_INTERVAL_S)
        if monitor is not None:
            monitor.finish()

    def _running(self, monitor: Any) -> Any:
        """Return a monitor of the machine that runs: MLflow's ends for good at the first request that fails."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if monitor is None or monitor._process is None or not monitor._process.is_alive():
            monitor = SystemMetricsMonitor(self.record.run_id, resume_logging=True, tracking_uri=self._place.uri)
            monitor.start()
        return monitor

    def _attempt(self) -> bool:
        """Send this run, then whatever else waits (trials, earlier runs); return whether the store has this run."""
        is_sent = False
        try:
            self._store = self._store or Store(self._place)
            self._store.send(self.record)
            self._id_known.set()
            is_sent = True
            if time.monotonic() >= self._next_idle:
                self._next_idle = time.monotonic() + _RETRY_S
                self._store.send_idle()
                self._next_idle = 0.0
        except Exception as error:
            self._warn(
                "store",
                f"the tracking store does not take records ({in_one_line(error)}); they are kept in mlflow/pending and "
                "sent later: by this stage, the next one, or `bmenet sync-tracking`",
            )
            return is_sent
        if refused := self._store.refused:
            self._warn("refused", f"{len(refused)} records were refused by the tracking store ({refused[0]})")
        return True

    def _warn(self, kind: str, message: str) -> None:
        """Print a warning, of each kind once."""
        if kind not in self._warned:
            console.print(f"[yellow]tracking[/yellow]: {escape(message)}", soft_wrap=True)
            self._warned.add(kind)
