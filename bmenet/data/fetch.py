"""Bring scans into data/raw: one NIfTI file per subject and a table of them."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, TaskID

from bmenet.data.download import UnreachableError
from bmenet.data.layout import Layout
from bmenet.data.names import full_id
from bmenet.data.participants import FetchedScan, read_table
from bmenet.data.sources.base import DataSet, Report, Subject
from bmenet.imaging.scan import save_scan
from bmenet.runtime.errors import SourceError, VolumeError
from bmenet.runtime.files import sha256, write_json
from bmenet.runtime.progress import console, progress_bar


def fetch_subjects(datasets: Sequence[DataSet], layout: Layout) -> dict[str, str]:
    """Write every subject's scan, and the table after each; one bad scan does not stop the others.

    Subjects whose file is there, unchanged and of the same origin are not read again. Files of subjects that are no
    longer wanted are removed.

    Returns
    -------
    dict
        Subject id to reason, for those that failed; they are not in the table.

    Raises
    ------
    UnreachableError
        If the network fails a data set, whose subjects still to come would fail as well; the other data sets are
        fetched first.
    """
    layout.raw.mkdir(parents=True, exist_ok=True)
    table = {scan.id: scan for scan in read_table(layout)}
    wanted = {full_id(dataset.name, subject.id) for dataset in datasets for subject in dataset.subjects}
    for name in table.keys() - wanted:
        (layout.raw / table.pop(name).file).unlink(missing_ok=True)
    failures: dict[str, str] = {}
    unreachable = None
    with progress_bar() as bar:
        task = bar.add_task("fetch", total=len(wanted), note="")
        for dataset in datasets:
            for subject in dataset.subjects:
                name = full_id(dataset.name, subject.id)
                try:
                    table[name] = _fetch(subject, dataset, table.get(name), layout, partial(_show, bar, task, name))
                except UnreachableError as error:
                    unreachable = error
                    break
                except (SourceError, VolumeError) as error:
                    failures[name] = str(error)
                    console.print(f"[red]{name}[/red]: {escape(str(error))}")
                    table.pop(name, None)
                    _path(name, layout).unlink(missing_ok=True)
                write_json(layout.subjects_table, [asdict(table[name]) for name in sorted(table)])
                bar.update(task, advance=1)
    if unreachable is not None:
        raise unreachable
    return failures


def _fetch(
    subject: Subject, dataset: DataSet, before: FetchedScan | None, layout: Layout, report: Report
) -> FetchedScan:
    """Return the row of one subject, whose scan is read and written unless it is there already."""
    name, known = full_id(dataset.name, subject.id), subject.covariates
    path = _path(name, layout)
    origin = f"{dataset.kind}@{dataset.source.fingerprint(subject)[:16]}"
    if before is None or before.source != origin or not _is_in_place(before, layout):
        report("")
        scan = dataset.source.read(subject, report)
        for note in scan.notes:
            console.print(f"{name}: {escape(note)}")
        save_scan(path, replace(scan, shape=scan.volume.data.shape))
    return FetchedScan(name, path.name, known.age, known.sex, sha256(path), origin, dataset.name)


def _show(bar: Progress, task: TaskID, name: str, note: str) -> None:
    bar.update(task, note=f"{name} {note}")


def _path(name: str, layout: Layout) -> Path:
    return layout.raw / f"{name}_T1w.nii.gz"


def _is_in_place(scan: FetchedScan, layout: Layout) -> bool:
    """Tell whether a file is still as it was fetched."""
    path = layout.raw / scan.file
    return path.exists() and sha256(path) == scan.sha256
