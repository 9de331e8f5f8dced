"""`bmenet enhance`: restore one scan."""

from typing import Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import OutputArgument, ScanArgument, check_output, show_notes, std_path
from bmenet.cli.sampling import sampling_with


def enhance(
    scan: ScanArgument,
    out: OutputArgument,
    stage: Annotated[
        Literal["coarse", "fine"], typer.Option(help="How far to go: the 2D network alone, or 3D diffusion after it.")
    ] = "coarse",
    steps: Annotated[int | None, typer.Option(min=1, help="fine: steps of the sampler.")] = None,
    start: Annotated[
        int | None, typer.Option(min=0, help="fine: timestep to start from; lower stays closer to the coarse result.")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="fine: how much of the diffusion's change enters the result (compose: residual)."
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="fine: scale of the NCC constraint; 0 switches it off.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="fine: average so many samples; their spread goes to OUT's name with _std."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="fine: of the noise; the same seed gives the same file.")] = 0,
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

    With --stage fine, what is not given comes from the section `sampling` of params.yaml, where there is one.

    A whole head and a skull-stripped brain both work; of a whole head only the brain is changed. Prints OUT.
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
            if stage == "fine":
                changes = {"steps": steps, "start_timestep": start, "strength": strength, "samples": samples}
                enhancer = enhancer.with_fine(folder.parent, sampling_with(changes, guidance), seed)
        with progress_bar() as bar:
            tasks: dict[str, TaskID] = {}

            def show(step: str, fraction: float) -> None:
                if step not in tasks:
                    tasks[step] = bar.add_task(step, total=100, note="")
                bar.update(tasks[step], completed=round(100 * fraction))

            enhanced = enhancer.enhance(degraded, space, show)
        if enhanced.std is not None:
            save_scan(std_path(out), enhanced.std)
        save_scan(out, enhanced.scan)
    kind = "skull-stripped brain" if enhanced.is_skull_stripped else "whole head"
    place = "already in standard space, not registered again; " if enhanced.is_in_standard_space else ""
    typer.echo(f"{kind}; {place}similarity to the template {enhanced.registration.similarity:.2f}", err=True)
    typer.echo(out)
