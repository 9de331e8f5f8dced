"""`bmenet enhance`: restore one scan."""

from typing import Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import OutputArgument, ScanArgument, check_output, show_notes


def enhance(
    scan: ScanArgument,
    out: OutputArgument,
    stage: Annotated[Literal["coarse"], typer.Option(help="How far to go.")] = "coarse",
    space: Annotated[
        Literal["native", "template"], typer.Option(help="Where OUT lies: on the grid of IN, or on the standard grid.")
    ] = "native",
    model: Annotated[
        str | None,
        typer.Option(
            envvar="BMENET_MODEL",
            metavar="PATH|models:/...",
            help="Weights folder or registered model; by default the workspace's weights/coarse.",
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the network runs.")] = "auto",
) -> None:
    """Restore a scan from motion, noise and intensity inhomogeneity; same grid, affine and intensity scale.

    A whole head and a skull-stripped brain both work; of a whole head only the brain is changed. Prints OUT.

    Exit codes: 0 done; 1 the scan or the model cannot be used, or registration failed; 2 wrong use.
    """
    check_output(out, scan)
    with exit_on_error():
        from rich.progress import TaskID

        from bmenet.inference import Enhancer
        from bmenet.inference.model_source import find_weights
        from bmenet.layout import Layout
        from bmenet.progress import progress_bar
        from bmenet.scan import load_scan, save_scan

        degraded = load_scan(scan)
        show_notes(degraded.notes)
        with find_weights(model or str(Layout().weights("coarse"))) as folder:
            enhancer = Enhancer.from_folder(folder, device)
        with progress_bar() as bar:
            tasks: dict[str, TaskID] = {}

            def show(step: str, fraction: float) -> None:
                if step not in tasks:
                    tasks[step] = bar.add_task(step, total=100, note="")
                bar.update(tasks[step], completed=round(100 * fraction))

            enhanced = enhancer.enhance(degraded, space, show)
        save_scan(out, enhanced.scan)
    kind = "skull-stripped brain" if enhanced.is_skull_stripped else "whole head"
    place = "already in standard space, not registered again; " if enhanced.is_in_standard_space else ""
    typer.echo(f"{kind}; {place}similarity to the template {enhanced.registration.similarity:.2f}", err=True)
    typer.echo(out)
