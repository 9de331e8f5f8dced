"""Wall time and memory of a volume on this machine, each stage in a process of its own, warm."""

import multiprocessing
import os
import platform
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bmenet.imaging.scan import load_scan
from bmenet.imaging.volume import load_unit_volume
from bmenet.release.models import find_model
from bmenet.restoration import Enhancer
from bmenet.runtime.threads import thread_count


@dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Parameters
    ----------
    stage : str
    load_s : float
        Of the model, until it is ready.
    first_s, restore_s : float
        A volume on the standard grid, at first and once warm; wall time.
    restore_gib : float
        Peak memory of the process by then.
    enhance_s, enhance_gib : float or None
        A scan on its own grid, with brain extraction and registration, warm; None without a raw scan.
    """

    stage: str
    load_s: float
    first_s: float
    restore_s: float
    restore_gib: float
    enhance_s: float | None
    enhance_gib: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        return asdict(self)


def measure_costs(model: str, stages: tuple[str, ...], degraded: Path, raw: Path | None) -> list[Cost]:
    """Return the cost of each stage.

    Parameters
    ----------
    model : str
        As `find_model` takes it; it runs as `bmenet enhance` runs it.
    stages : tuple of {"coarse", "fine"}
    degraded : Path
        A degraded volume on the standard grid.
    raw : Path, optional
        A scan on its own grid.
    """
    costs = []
    for stage in stages:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs.append(pool.apply(_measure, (model, stage, degraded, raw)))
    return costs


def cost_table(costs: list[Cost]) -> Table:
    """Return the costs as a table that names the machine."""
    cores = os.cpu_count()
    table = Table(
        title=f"Cost a volume, wall time; {platform.machine()}, {cores} cores, {thread_count()} threads, warm"
    )
    names = ("stage", "load s", "first s", "restore s", "peak GiB", "enhance a scan s", "peak GiB")
    for name in names:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for cost in costs:
        restore = (cost.load_s, cost.first_s, cost.restore_s, cost.restore_gib)
        numbers: tuple[float | None, ...] = (*restore, cost.enhance_s, cost.enhance_gib)
        table.add_row(cost.stage, *("" if number is None else f"{number:.1f}" for number in numbers))
    return table


def _measure(model: str, stage: str, degraded: Path, raw: Path | None) -> Cost:
    """Return the cost of a stage; this process does nothing else."""
    volume, times = load_unit_volume(degraded), [time.perf_counter()]

    def lap() -> float:
        times.append(time.perf_counter())
        return times[-1] - times[-2]

    enhancer = _load(model, stage)
    load_s = lap()
    enhancer.restore(volume)
    first_s = lap()
    enhancer.restore(volume)
    restore_s = lap()
    restore_gib = _peak_gib()
    enhance_s = enhance_gib = None
    if raw is not None:
        scan = load_scan(raw)
        enhancer.enhance(scan)
        lap()
        enhancer.enhance(scan)
        enhance_s, enhance_gib = lap(), _peak_gib()
    return Cost(stage, load_s, first_s, restore_s, restore_gib, enhance_s, enhance_gib)


def _peak_gib() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _load(model: str, stage: str) -> Enhancer:
    with find_model(model) as found:
        return found.enhancer("fine" if stage == "fine" else "coarse")
