"""System metrics: what the machine was doing while a stage ran, under MLflow's own names."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

_INTERVAL_S = 10.0
_MEGABYTE = 1e6


class SystemSampler(threading.Thread):
    """Sample this machine and this process every ten seconds, and once more at the end.

    Parameters
    ----------
    record : callable
        Takes (values, step).
    first_step : int
        Number of the first sample.
    """

    def __init__(self, record: Callable[[dict[str, float], int], None], first_step: int) -> None:
        super().__init__(name="system-metrics", daemon=True)
        self._record = record
        self._step = first_step
        self._closing = threading.Event()

    def run(self) -> None:
        """Sample until `close`, then once more."""
        psutil.cpu_percent()  # opens the interval that this thread's next call measures
        while not self._closing.wait(_INTERVAL_S):
            self._sample()
        self._sample()

    def close(self) -> None:
        """Take the last sample and stop."""
        self._closing.set()
        self.join()

    def _sample(self) -> None:
        with suppress(Exception):  # a machine that hides a figure, or torch half imported: no reason to stop
            self._record({f"system/{name}": value for name, value in _measure().items()}, self._step)
            self._step += 1


def _measure() -> dict[str, float]:
    """Measure processor, memory, disk and, where torch uses one, GPU memory."""
    memory = psutil.virtual_memory()
    values = {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / _MEGABYTE,
        "system_memory_usage_percentage": memory.percent,
        "process_memory_megabytes": psutil.Process().memory_info().rss / _MEGABYTE,
        "disk_usage_percentage": psutil.disk_usage(".").percent,
    }
    torch = sys.modules.get("torch")  # never imported for the sake of a sample
    if torch is not None and torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        values["gpu_0_memory_usage_megabytes"] = (total - free) / _MEGABYTE
        values["gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    return values
