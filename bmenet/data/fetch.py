"""Bring scans into data/raw: one NIfTI file per subject and a table of them."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, TaskID

from bmenet.data.download import UnreachableError
from bmenet.data.layout import Layout
from bmenet.data.participants import FetchedScan, read_table
from bmenet.data.sources.base import Source, Subject
from bmenet.imaging.scan import save_scan
from bmenet.runtime.errors import SourceError, VolumeError
from bmenet.runtime.files import sha256, write_json
from bmenet.runtime.progress import console, progress_bar


def fetch_subjects(source: Source, source_name: str, subjects: list[Subject], layout: Layout) -> dict[str, str]:
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
        If the network fails: the subjects still to come would fail as well.
    """
    layout.raw.mkdir(parents=True, exist_ok=True)
    done = {scan.id: scan for scan in read_table(layout)}
    for name in done.keys() - {subject.id for subject in subjects}:
        (layout.raw / done.pop(name).file).unlink(missing_ok=True)
    failures: dict[str, str] = {}
    with progress_bar() as bar:
        task = bar.add_task("fetch", total=len(subjects), note="")
        for subject in subjects:
            try:
                origin = f"{source_name}@{source.fingerprint(subject)[:16]}"
                before = done.pop(subject.id, None)
                if before is None or before.source != origin or not _is_in_place(before, layout):
                    bar.update(task, note=subject.id)
                    scan = source.read(subject, partial(_show, bar, task, subject.id))
                    for note in scan.notes:
                        console.print(f"{subject.id}: {escape(note)}")
                    save_scan(_path(subject, layout), replace(scan, shape=scan.volume.data.shape))
                path, known = _path(subject, layout), subject.covariates
                done[subject.id] = FetchedScan(subject.id, path.name, known.age, known.sex, sha256(path), origin)
            except UnreachableError:
                raise
            except (SourceError, VolumeError) as error:
                failures[subject.id] = str(error)
                console.print(f"[red]{subject.id}[/red]: {escape(str(error))}")
                _path(subject, layout).unlink(missing_ok=True)
            write_json(layout.subjects_table, [asdict(done[name]) for name in sorted(done)])
            bar.update(task, advance=1)
    return failures


def _show(bar: Progress, task: TaskID, name: str, note: str) -> None:
    bar.update(task, note=f"{name} {note}")


def _path(subject: Subject, layout: Layout) -> Path:
    return layout.raw / f"{subject.id}_T1w.nii.gz"


def _is_in_place(scan: FetchedScan, layout: Layout) -> bool:
    """Tell whether a file is still as it was fetched."""
    path = layout.raw / scan.file
    return path.exists() and sha256(path) == scan.sha256
