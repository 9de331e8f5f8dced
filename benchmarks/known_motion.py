"""What motion costs, and what the physics gives back where the poses are known: `python -m benchmarks.known_motion`.

Run it from a workspace with registered subjects. Each is degraded anew; the true poses, and poses that are off, undo
the motion (`bmenet.restoration.known_motion`), alone and before the Coarse-net. It is what any estimate of the poses
can reach, and how good it has to be; the Coarse-net is told the phase-encode axis, too. Subjects whose motion is
simulated on a coarser grid than that in use (`grid.acquired_mm`) are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.markdown import write_tables
from bmenet.cli.errors import exit_on_error
from bmenet.config import Severity, load_config
from bmenet.data.layout import Layout
from bmenet.data.names import dataset_of
from bmenet.degradation import compose
from bmenet.evaluation.bootstrap import bootstrap_mean
from bmenet.evaluation.metrics.measure import measure
from bmenet.imaging.grid import acquired_mm
from bmenet.imaging.volume import load_mask, load_unit_volume
from bmenet.release.models import find_model
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.known_motion import undo_motion
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json
from bmenet.runtime.parallel import require_all, run_parallel
from bmenet.runtime.seeding import generator

CODES = ("100", "111")
OFF = (0.0, 0.3, 0.6)
"""Standard deviation of a pose's six errors, mm and degrees."""

_POSE = ("rotation_deg", "translation_mm")
_METRIC = {"100": "psnr_brain", "111": "psnr_field_free_brain"}


def main() -> None:
    """Measure every subject under both codes, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="bundle, weights folder, models:/NAME@ALIAS; by default the released weights")
    parser.add_argument("--subset", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--subjects", type=int, metavar="N", help="the first so many of a data set; by default all")
    parser.add_argument("--preset", default="moderate")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    arguments = parser.parse_args()
    config, layout = load_config(), Layout()
    preset = config.degradation.presets[arguments.preset]
    of_dataset: dict[str, list[str]] = {}
    for name in read_json(layout.split)[arguments.subset]:
        if _is_fine(layout, name, config.grid.spacing_mm):
            of_dataset.setdefault(dataset_of(name), []).append(name)
    subjects = [name for members in of_dataset.values() for name in members[: arguments.subjects]]
    if not subjects:
        raise BMENetError(
            f"{layout.split}: expected subjects of the {arguments.subset} set whose motion is simulated on the grid of"
            f" {config.grid.spacing_mm} mm; got none"
        )
    with find_model(arguments.model) as model:
        items = [
            (f"{subject} {code}", (subject, code, preset, model.coarse, layout, config.seed))
            for subject in subjects
            for code in CODES
        ]
        found, failures = run_parallel(_measure, items, description="degrade, undo, measure")
    require_all("benchmarks.known_motion", failures, len(items))
    table = _table(found, subjects, config.evaluate.bootstrap, config.seed)
    Console(width=180).print(table)
    if arguments.markdown:
        introduction = (
            f"Written by `python -m benchmarks.known_motion`: subjects of the {arguments.subset} set, preset"
            f" `{arguments.preset}`, seed {config.seed}. Mean over subjects [95 % interval]; under `111` the field is"
            " divided out. The Coarse-net is told the phase-encode axis. Poses off: the standard deviation of each of a"
            " pose's six errors, in mm and degrees."
        )
        write_tables(arguments.markdown, "Motion with known poses", introduction, [table])


def _is_fine(layout: Layout, subject: str, spacing_mm: int) -> bool:
    """Tell whether a subject was scanned in voxels as fine as the grid's, so that motion happens on the grid itself."""
    return acquired_mm(read_json(layout.transform(subject))["voxel_mm"], spacing_mm) == spacing_mm


def _measure(subject: str, code: str, preset: Severity, coarse: Path, layout: Layout, seed: int) -> dict[str, float]:
    """Return the PSNR of every column of a row."""
    clean, brain_mask = load_unit_volume(layout.clean(subject)), load_mask(layout.brain_mask(subject))
    parameters = compose.draw(preset, code, clean, generator(seed, subject, code))
    degraded = compose.apply(clean, parameters)
    motion = parameters["motion"]
    net = CoarseNet.load_once(coarse)
    scans = {"degraded": degraded}
    for size in OFF:
        scans[_name(size)] = undo_motion(degraded, _off(motion, size, generator(seed, subject, "poses off")))
    columns = {}
    for name, scan in scans.items():
        restored = scan.with_data(net.restore(scan.data, phase_encode_axis=compose.phase_encode_axis(parameters)))
        for label, volume in ((name, scan), (f"{name}, Coarse-net", restored)):
            columns[label] = measure(volume, clean, brain_mask)[_METRIC[code]]
    return columns


def _name(size: float) -> str:
    return f"poses off by {size:g}" if size else "true poses"


def _off(motion: dict, size: float, draws: np.random.Generator) -> dict:
    """Return motion with an error of that size in each of the six numbers of every pose."""
    poses = [
        pose | {name: (pose[name] + size * draws.standard_normal(3)).tolist() for name in _POSE}
        for pose in motion["poses"]
    ]
    return motion | {"poses": poses}


def _table(found: dict[str, dict[str, float]], subjects: list[str], bootstrap: int, seed: int) -> Table:
    """Return a row a column of `_measure`, a column a data set and code."""
    datasets = sorted({dataset_of(name) for name in subjects})
    table = Table(title="PSNR inside the brain (dB)")
    table.add_column("")
    places = [
        (code, dataset, [name for name in subjects if dataset_of(name) == dataset])
        for code in CODES
        for dataset in datasets
    ]
    for code, dataset, members in places:
        table.add_column(f"{code}, {dataset} ({len(members)})", justify="right")
    for label in next(iter(found.values())):
        cells = []
        for code, _, members in places:
            values = np.array([found[f"{name} {code}"][label] for name in members])
            interval = bootstrap_mean(values, bootstrap, generator(seed, "bootstrap", label))
            cells.append(f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]")
        table.add_row(label, *cells)
    return table


if __name__ == "__main__":
    with exit_on_error():
        main()
