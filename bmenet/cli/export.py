"""`bmenet export`, `release` and `import-brainldm`: networks that leave the workspace, and those that come to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.table import Table

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.config.profiles import Profiles
from bmenet.data.layout import Layout
from bmenet.runtime.progress import console

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
        from bmenet.release.export.run import build_engines, bundle_lineage, skipped
        from bmenet.release.export.run import export as write
        from bmenet.restoration.bundle import open_bundle

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
            _print_exported(exported)
    typer.echo(folder)


def release(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Gets the release as a folder of its own.",
            show_default="bmenet/release/weights in the package",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Write the trained networks as released weights: a bundle of at most 40 MB with its card and its licence.

    In the package they are the default of `bmenet enhance`. The card's figures are those of the stage `evaluate`. Only
    networks trained on the public data of the source `openneuro` are released, and only a bundle that agrees with
    torch. `make release` trains and evaluates first. Prints the release's folder.
    """
    with exit_on_error():
        from bmenet.release.release import release as write
        from bmenet.release.released import RELEASED_FOLDER

        with console.status("release") as status:
            exported = write(load_config(), Layout(), out or RELEASED_FOLDER, status.update)
        _print_exported(exported)
    typer.echo(exported.bundle.folder)


def import_brainldm(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with BrainLDM's autoencoder.pth and diffusion_model.pth.", file_okay=False
        ),
    ],
    profile: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Profile, or parameter file, whose sizes the weights must fit.")
    ] = "paper",
    scale_factor: Annotated[
        float, typer.Option(min=0, help="What latents were multiplied by when the denoiser was trained.")
    ] = 1.0,
) -> None:
    """Take BrainLDM's published weights into weights/autoencoder and weights/denoiser.

    Every key and shape is checked before anything is written; what does not fit is named. Prints the two folders.

    To train the rest on top of them, keep DVC from training these two again:
    `dvc commit --force train_autoencoder train_denoiser; dvc freeze train_autoencoder train_denoiser; dvc repro`.
    """
    with exit_on_error():
        from bmenet.networks.brainldm import import_brainldm as convert

        config = load_config(profile) if Path(profile).is_file() else Profiles().load(profile)
        weights = Layout().weights_folder
        counts = convert(source, weights, config, scale_factor)
    typer.echo("; ".join(f"{kind}: {count} tensors" for kind, count in counts.items()), err=True)
    for kind in counts:
        typer.echo(weights / kind)


def _print_exported(exported: "Exported") -> None:
    """Print on stderr the differences from torch, what rounding the weights changed, size and digest."""
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
