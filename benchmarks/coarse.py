"""Speed and memory of degradation and of the coarse enhancement: `python -m benchmarks.coarse [--weights DIR]`.

Every speed-up that the code claims stands beside its plain base line, timed in turn in the same run. Needs no data: the
MNI152 template stands in for a subject, and an untrained network for a trained one (weights do not change the time).
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from bmenet.config import Config
from bmenet.config.profiles import load_profile
from bmenet.degradation import apply, draw, motion
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import build_coarse
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.runtime.seeding import generator


def main() -> None:
    """Time everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="full", help="profile to take sizes from")
    parser.add_argument("--weights", type=Path, help="weights folder; by default an untrained network of the profile")
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each, after one that is not counted")
    arguments = parser.parse_args()
    config = load_profile(arguments.profile)
    clean = load_template(standard_grid(config.grid.spacing_mm))
    table = Table(title=f"{config.grid.spacing_mm} mm grid {clean.data.shape}, {torch.get_num_threads()} threads")
    for name in ("what", "median s", "CPU s", "base line s", "faster by"):
        table.add_column(name, justify="left" if name == "what" else "right")
    degraded = _degradations(table, config, clean, arguments.runs)
    _restoration(table, config, degraded, arguments.weights, arguments.runs)
    console = Console(width=120)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory of the process: {peak:.2f} GiB")


def _degradations(table: Table, config: Config, clean: Volume, runs: int) -> Volume:
    """Time every code, and motion against the textbook's whole volumes and FFTs; return the `111` volume."""
    preset = config.degradation.presets["moderate"]
    for code in config.degradation.codes:
        seeds = iter(range(runs + 1))
        _row(table, f"degrade {code}", lambda code=code, seeds=seeds: _degrade(preset, code, clean, next(seeds)), runs)
    parameters = motion.draw(preset.motion, clean, generator(0))

    def in_one_thread() -> np.ndarray:
        with patch.dict(os.environ, OMP_NUM_THREADS="1"):
            return motion.apply(clean, 1.0, parameters)

    _row(table, "motion, one thread: only the head", in_one_thread, runs, lambda: _motion_by_fft(clean, parameters))
    _row(table, "motion, all threads", lambda: motion.apply(clean, 1.0, parameters), runs, in_one_thread)
    return _degrade(preset, "111", clean, 0)


def _degrade(preset: object, code: str, clean: Volume, seed: int) -> Volume:
    """Draw and apply one code."""
    return apply(clean, draw(preset, code, clean, generator(seed, code)))


def _motion_by_fft(clean: Volume, parameters: dict) -> np.ndarray:
    """Do what `motion.apply` does by the textbook: a whole 1D FFT of every moved volume."""
    axis = parameters["phase_encode_axis"]
    spline = ndimage.spline_filter(clean.data, order=3, output=np.float32)
    axes = clean.affine[:3, :3]
    centre = (np.array(clean.data.shape) - 1) / 2
    kspace = fft.fftshift(fft.fft(clean.data.astype(np.complex64), axis=axis), axes=axis)
    for pose in parameters["poses"]:
        lines = tuple(slice(*pose["lines"]) if index == axis else slice(None) for index in range(3))
        rotation = Rotation.from_euler("xyz", pose["rotation_deg"], degrees=True).as_matrix()
        pull = np.linalg.inv(axes) @ rotation.T @ axes
        offset = centre - pull @ centre - np.linalg.inv(axes) @ rotation.T @ np.asarray(pose["translation_mm"])
        view = ndimage.affine_transform(spline, pull, offset, order=3, prefilter=False).astype(np.complex64)
        kspace[lines] = fft.fftshift(fft.fft(view, axis=axis), axes=axis)[lines]
    return fft.ifft(fft.ifftshift(kspace, axes=axis), axis=axis)


def _restoration(table: Table, config: Config, degraded: Volume, weights: Path | None, runs: int) -> None:
    """Time the restoration of a registered volume; its base line is the same network in eager float32."""
    if weights:
        net = CoarseNet.from_folder(weights)
    else:
        network = build_coarse(config.coarse).to(memory_format=torch.channels_last).eval()
        net = CoarseNet(network, config.coarse, config.grid.spacing_mm)
    exact = replace(net, dtype=torch.float32)
    axial = replace(net, config=net.config.model_copy(update={"planes": ["axial"]}), dtype=torch.bfloat16)
    data = degraded.data
    _row(
        table,
        f"restore, {len(net.config.planes)} planes",
        lambda: net.restore(data),
        runs,
        lambda: exact.restore(data),
    )
    _row(table, "restore, axial plane alone", lambda: axial.restore(data), runs)


def _row(
    table: Table, name: str, function: Callable[[], object], runs: int, base_line: Callable[[], object] | None = None
) -> None:
    """Time `function`, in turn with its base line, and add a row."""
    function()
    if base_line:
        base_line()
    wall, cpu, base = [], [], []
    for _ in range(runs):
        started, started_cpu = time.perf_counter(), time.process_time()
        function()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
        if base_line:
            started = time.perf_counter()
            base_line()
            base.append(time.perf_counter() - started)
    median = statistics.median(wall)
    beside = [f"{statistics.median(base):.2f}", f"{statistics.median(base) / median:.2f} x"] if base else ["", ""]
    table.add_row(name, f"{median:.2f}", f"{statistics.median(cpu):.2f}", *beside)


if __name__ == "__main__":
    main()
