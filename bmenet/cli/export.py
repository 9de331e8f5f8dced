"""`bmenet export`: the workspace's networks as one bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error

if TYPE_CHECKING:
    from bmenet.release.export.run import Exported

NO_TENSORRT = 3


def export(
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Of the bundle; replaced when the new one is whole.", file_okay=False),
    ] = None,
    tensorrt: Annotated[
        bool,
        typer.Option(
            "--tensorrt",
            help="Build TensorRT's engines of the bundle that is there, and keep them in the user's cache"
            f" (BMENET_CACHE). Exit code {NO_TENSORRT} where there is no NVIDIA GPU or no TensorRT.",
        ),
    ] = False,
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="--tensorrt: number format.")] = "fp32",
) -> None:
    """Write the trained networks as a bundle: ONNX graphs, weights, settings, a checksum of every file.

    Every graph is compared with torch, and both stages from end to end; a bundle that differs is refused. The table of
    differences goes to stderr, the bundle's folder to stdout. `dvc repro export` does the same as a stage.
    """
    with exit_on_error():
        from bmenet.config import load_config
        from bmenet.data.layout import Layout
        from bmenet.release.export.run import build_engines, bundle_lineage, skipped
        from bmenet.release.export.run import export as write
        from bmenet.restoration.bundle import open_bundle
        from bmenet.runtime.progress import console

        layout = Layout()
        folder = out or layout.bundle
        if tensorrt:
            if (reason := skipped()) is not None:
                typer.echo(f"bmenet: TensorRT: {reason}", err=True)
                raise typer.Exit(NO_TENSORRT)
            with console.status("build engines") as status:
                seconds = build_engines(open_bundle(folder), precision, status.update)
            for name, took in seconds.items():
                typer.echo(f"{name}: {took:.1f} s", err=True)
        else:
            config = load_config()
            with console.status("export") as status:
                lineage = bundle_lineage(config, layout)
                exported = write(layout.weights_folder, folder, config, lineage, status.update)
            print_exported(exported)
    typer.echo(folder)


def print_exported(exported: "Exported") -> None:
    """Print on stderr the differences from torch, what rounding the weights changed, size and digest."""
    from rich import box
    from rich.table import Table

    from bmenet.runtime.progress import console

    table = Table("graph", "format", box=box.SIMPLE_HEAD)
    for heading in ("largest difference", "allowed", "torch s", "ONNX Runtime s"):
        table.add_column(heading, justify="right")
    for row in exported.parity:
        numbers = (f"{row.error:.1e}", f"{row.tolerance:.0e}", f"{row.torch_seconds:.2f}", f"{row.onnx_seconds:.2f}")
        table.add_row(row.graph, row.precision, *numbers)
    console.print(table)
    for stage, psnr_db in exported.rounding_db.items():
        typer.echo(f"rounded weights: {stage} as with the trained ones to {psnr_db:.1f} dB", err=True)
    typer.echo(f"{exported.bundle.total_bytes / 1e6:.1f} MB, {exported.bundle.digest[:12]}", err=True)
