"""Restoration of what our own generator did not make: `python -m benchmarks.robustness [--cases NAME ...] [--fine]`.

Run it from a workspace with registered subjects; cases on native grids need its raw scans, too.
"""

import argparse
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.markdown import write_tables
from benchmarks.robustness.cases import CASES, Case, chosen_cases
from benchmarks.robustness.measure import measure_case
from benchmarks.robustness.report import clean_table, degraded_table, summarise
from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.data.names import dataset_of
from bmenet.release.models import find_model
from bmenet.runtime.errors import BMENetError
from bmenet.runtime.files import read_json, write_json
from bmenet.runtime.parallel import run_parallel

_HEADS = ("*T1.nii*", "*T1w.nii*")


def main() -> None:
    """Measure every case that is not measured yet, and print the tables."""
    arguments = _parser().parse_args()
    layout, seed = Layout(), load_config().seed
    cases = chosen_cases(arguments.cases)
    heads = _heads(arguments.heads)
    subjects = _subjects(layout, arguments.subset, arguments.subjects)
    stages = ("coarse", "fine") if arguments.fine else ("coarse",)
    places = {case.name: heads[: arguments.subjects] if case.scan.kind == "head" else subjects for case in cases}
    with find_model(arguments.model) as model:
        place = str(model.coarse if model.bundle is None else model.bundle.folder)
        items = [
            (f"{Path(subject).name} {case.name}", (subject, case.name, place, stages, layout, seed))
            for case in cases
            for subject in places[case.name]
        ]
        results, failures = run_parallel(measure_case, items, description="degrade, restore, measure")
    failed = {failure.name: failure.reason for failure in failures}
    rows = [
        _row(case, dataset, list(members), results, failed)
        for case in cases
        for dataset, members in groupby(sorted(places[case.name], key=_dataset), _dataset)
    ]
    if arguments.json:
        head = {"subset": arguments.subset, "stages": stages, "seed": seed}
        write_json(arguments.json, head | {"rows": rows})
    if arguments.markdown:
        tables = (degraded_table(rows, stages), clean_table(rows, stages))
        write_tables(arguments.markdown, "Beyond our own generator", _introduction(arguments.subset, seed), tables)
    _print(rows, stages, failed)


def _introduction(subset: str, seed: int) -> str:
    """Return what was measured, for the head of the Markdown file."""
    return (
        f"Written by `python -m benchmarks.robustness`: subjects of the {subset} set, and whole heads from elsewhere; "
        f"seed {seed}. `n`: how many. Best gain: the PSNR after the best gain, which leaves out an error of the "
        "overall brightness; field-free: after the smooth ratio to the clean scan, too. Contrast: of grey and white "
        "matter, of the clean scan's. 100 dB: the scan came back as it came."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="bundle, weights folder, models:/NAME@ALIAS; by default the released weights")
    parser.add_argument("--subset", default="validation", choices=("train", "validation", "test"))
    parser.add_argument("--subjects", type=int, metavar="N", help="the first so many; by default all")
    parser.add_argument("--heads", type=Path, metavar="FOLDER", help="whole heads: files named *T1.nii* or *T1w.nii*")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help=f"of {', '.join(CASES)}; @variant: all of it")
    parser.add_argument("--fine", action="store_true", help="the second stage, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every subject's scores there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    return parser


def _subjects(layout: Layout, subset: str, count: int | None) -> list[str]:
    if not layout.split.exists():
        raise BMENetError(f"{layout.split}: expected the split of a workspace; got no such file; run the stage split")
    return read_json(layout.split)[subset][:count]


def _heads(folder: Path | None) -> list[str]:
    """Return the heads' files; none without a folder."""
    if folder is None:
        return []
    if heads := sorted({str(path) for pattern in _HEADS for path in folder.glob(pattern)}):
        return heads
    raise BMENetError(f"--heads: expected a folder with files named {' or '.join(_HEADS)}; got {folder} without any")


def _dataset(subject: str) -> str:
    """Return the data set of a registered subject; a head from elsewhere, named by its path, has none."""
    return "" if os.sep in subject else dataset_of(subject)


def _row(
    case: Case, dataset: str, subjects: Sequence[str], results: dict[str, Any], failed: dict[str, str]
) -> dict[str, Any]:
    names = {f"{label} {case.name}": label for label in (Path(subject).name for subject in subjects)}
    found = {label: results[name] for name, label in names.items() if name in results}
    return summarise(case, dataset, found, {label: failed[name] for name, label in names.items() if name in failed})


def _print(rows: list[dict[str, Any]], stages: Sequence[str], failed: dict[str, str]) -> None:
    console = Console(width=150)
    for table in (degraded_table(rows, stages), clean_table(rows, stages)):
        if table.row_count:
            console.print(table)
    for name, reason in failed.items():
        console.print(f"{name}: {reason}", markup=False)


if __name__ == "__main__":
    with exit_on_error():
        main()
