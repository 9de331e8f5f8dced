"""`bmenet qc`: how good a scan is by itself, without a clean one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bmenet.cli.arguments import show_notes
from bmenet.cli.errors import exit_on_error

if TYPE_CHECKING:
    from bmenet.evaluation.quality.scans import ScanQuality


def qc(
    scan: Annotated[Path, typer.Argument(help="A T1-weighted scan: NIfTI, or a folder with a DICOM series.")],
    enhanced: Annotated[
        Path | None, typer.Argument(help="The same scan enhanced: shows before, after, change.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure SNR, CNR, CJV and EFC of a scan by MRIQC's definitions; no clean scan is needed.

    Brain and tissues are found in each scan by itself; the bias field is not corrected first. What the air around
    the head decides is undefined for a skull-stripped scan: "–" in the table, null in JSON.
    """
    with exit_on_error():
        from rich.progress import TaskID

        from bmenet.evaluation.quality.scans import STEPS, compare, measure_scan
        from bmenet.runtime.progress import progress_bar  # Late: --help answers at once.

        results: list[ScanQuality] = []
        with progress_bar() as bar:
            for path in [scan] if enhanced is None else [scan, enhanced]:
                task = bar.add_task(path.name, total=len(STEPS), completed=-1, note="")

                def show(step: str, task: TaskID = task) -> None:
                    bar.update(task, advance=1, note=step)

                results.append(measure_scan(path, on_step=show))
                bar.update(task, advance=1, note="")
        changes, pair_notes = compare(*results) if len(results) == 2 else ({}, ())
    show_notes((*(note for result in results for note in result.notes), *pair_notes))
    if not as_json:
        _print_table(results, changes)
    elif len(results) == 1:
        typer.echo(json.dumps(_entry(results[0]), indent=2))
    else:
        before, after = map(_entry, results)
        typer.echo(json.dumps({"before": before, "after": after, "change": changes}, indent=2))


def _entry(result: "ScanQuality") -> dict[str, Any]:
    """Return what JSON tells of one scan."""
    return {
        **result.quality.values,
        "is_skull_stripped": result.is_skull_stripped,
        "brain_litres": result.brain_litres,
        "reasons": result.quality.reasons,
    }


def _print_table(results: list["ScanQuality"], changes: dict[str, float | None]) -> None:
    """Print a line per measure, then why any of them is missing."""
    from bmenet.evaluation.quality import MEASURES

    columns = [result.quality.values for result in results] + ([changes] if changes else [])
    headings = ["value"] if len(results) == 1 else ["before", "after", "change"]
    typer.echo(f"{'measure':<12}{''.join(f'{heading:>10}' for heading in headings)}  better")
    for name, measure in MEASURES.items():
        cells = "".join(
            f"{_number(column[name], heading == 'change'):>10}"
            for column, heading in zip(columns, headings, strict=True)
        )
        typer.echo(f"{name:<12}{cells}  {'lower ' if measure.lower_is_better else 'higher'}  {measure.description}")
    for result, heading in zip(results, headings, strict=False):
        for reason in dict.fromkeys(result.quality.reasons.values()):
            names = ", ".join(name for name, why in result.quality.reasons.items() if why == reason)
            typer.echo(f"– {names}{'' if len(results) == 1 else f' {heading}'}: {reason}")


def _number(value: float | None, is_change: bool) -> str:
    if value is None:
        return "–"
    return f"{value:+.4f}" if is_change else f"{value:.4f}"
