"""`bmenet dice`: how far two label volumes overlap."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import show_notes


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
    from rich import box
    from rich.console import Console
    from rich.table import Table

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
