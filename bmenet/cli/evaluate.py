"""`bmenet evaluate` and `bmenet dice`: how close a scan, or a segmentation, is to its reference."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from bmenet.cli.arguments import show_notes
from bmenet.cli.errors import exit_on_error


def evaluate(
    enhanced: Annotated[Path, typer.Argument(help="Restored scan: a NIfTI file or a folder with a DICOM series.")],
    clean: Annotated[Path, typer.Argument(help="The clean scan on the same grid.")],
    brain_mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            help="Brain mask (NIfTI, positive inside); by default what skull-stripping left of the clean scan, or "
            "the brain found where there is a head or noise around it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure PSNR, SSIM, NCC and HFEN over the whole grid and inside the brain, PSNR and SSIM over the head too.

    A clean scan beyond [0, 1] sets the scale: both are divided by the 99.5th percentile of its foreground.
    """
    from bmenet.evaluation.files import measure_scans  # Late: --help answers at once.

    with exit_on_error():
        result = measure_scans(enhanced, clean, brain_mask)
    show_notes(result.notes)
    if as_json:
        typer.echo(json.dumps(result.metrics | {"intensity_scale": result.scale}, indent=2))
    else:
        width = max(map(len, result.metrics))
        for name, value in result.metrics.items():
            typer.echo(f"{name:<{width}}{value:10.4f}")


def dice(
    labels: Annotated[Path, typer.Argument(metavar="A", help="Label volume: .mgz, .mgh, .nii or .nii.gz.")],
    reference: Annotated[Path, typer.Argument(metavar="B", help="The reference, the same kind of file.")],
    labelling: Annotated[
        Literal["auto", "freesurfer", "none"],
        typer.Option(
            "--labels",
            help="Whose numbers the labels are: only FreeSurfer's have names and regions. **auto** takes them for "
            "FreeSurfer's if its table has the labels of nine tenths of B's voxels, and one is at least 10.",
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the Dice overlap of two segmentations per label and, for FreeSurfer's labels, per region.

    Label 0 never counts. A label or a region that B has and A lacks scores 0; what B lacks has no score, and is in no
    mean. On another grid, A is taken to that of B by nearest neighbours.
    """
    from bmenet.evaluation.files import compare_label_files  # Late: --help answers at once.

    with exit_on_error():
        overlap = compare_label_files(labels, reference, labelling)
    show_notes(overlap.notes)
    if as_json:
        record = {
            "mean_label_dice": overlap.mean_label_dice,
            "regions": overlap.regions,
            "labels": overlap.labels,
            "names": overlap.names,
            "volumes_ml": {label: dict(zip("ab", both, strict=True)) for label, both in overlap.volumes_ml.items()},
            "missing_in_b": overlap.missing_in_reference,
        }
        typer.echo(json.dumps(record, indent=2))
        return

    console = Console()
    if overlap.regions:
        regions = Table("region", box=box.SIMPLE_HEAD)
        regions.add_column("Dice", justify="right")
        for region, value in overlap.regions.items():
            regions.add_row(region, f"{value:.4f}")
        console.print(regions)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("label", "Dice", "A (ml)", "B (ml)"):
        table.add_column(heading, justify="right")
    if overlap.names:
        table.add_column("name")
    for label, value in overlap.labels.items():
        volumes = (f"{ml:.2f}" for ml in overlap.volumes_ml[label])
        table.add_row(str(label), f"{value:.4f}", *volumes, *([overlap.names.get(label, "")] if overlap.names else []))
    console.print(table)
    if overlap.missing_in_reference:
        console.print(f"only in A, not counted: {', '.join(map(str, overlap.missing_in_reference))}")
    console.print(f"mean Dice of {len(overlap.labels)} labels: {overlap.mean_label_dice:.4f}")
