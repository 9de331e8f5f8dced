"""`bmenet enhance`: restore one scan."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import TaskID

from bmenet.cli.arguments import (
    KeepFieldOption,
    ModelOption,
    OnlyBrainOption,
    OutputArgument,
    ScanArgument,
    are_same,
    check_output,
    sampling_with,
    show_notes,
    std_path,
)
from bmenet.cli.enhance_report import loaded_lineage, report_page, report_path, sidecar_of
from bmenet.cli.errors import exit_on_error
from bmenet.runtime.progress import progress_bar

if TYPE_CHECKING:
    from bmenet.imaging.scan import Scan
    from bmenet.restoration.enhanced import Enhanced
    from bmenet.restoration.enhancer import Enhancer
    from bmenet.restoration.phase_encoding import PhaseEncoding


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
    keep_field: KeepFieldOption = False,
    only_brain: OnlyBrainOption = False,
    shows: Annotated[
        Literal["auto", "head", "brain"],
        typer.Option(help="What IN shows, a whole head or a skull-stripped brain; found out unless it is said."),
    ] = "auto",
    phase_encode_axis: Annotated[
        Literal["LR", "AP", "SI"] | None,
        typer.Option(
            help="Along which axis of the head lines were encoded, so that motion spread along it. By default what"
            " DICOM or a BIDS sidecar of IN says (PhaseEncodingDirection), or else what ghosts in the air tell."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Restore a scan of another contrast than T1, too; it may come out wrong.")
    ] = False,
    model: ModelOption = None,
    runtime: Annotated[
        Literal["torch", "onnx"] | None,
        typer.Option(
            help="What runs the networks: torch the weights, in bfloat16 where that is faster; onnx the graphs of a"
            " bundle, in float32 everywhere. Without it, released and bare weights run with torch, and any other bundle"
            " as `make serve` runs it, with onnx."
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the networks run.")] = "auto",
    providers: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="onnx: of tensorrt, cuda, cpu, in the order they are wanted; those that this machine lacks are passed"
            " over. By default what --device says.",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16"] | None,
        typer.Option(help="onnx: number format of the graphs.", show_default="fp32"),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Write a page for the browser, too: OUT's name with .html.")
    ] = False,
) -> None:
    """Restore a scan from motion, noise and intensity inhomogeneity; same grid, affine and intensity scale.

    With --stage fine, what is not given comes from the bundle, or else from the section `sampling` of params.yaml.

    A whole head and a skull-stripped brain both work. The coil's field is one of the three effects, and is taken out
    with the scanner's own: how large it was is said at the end. Prints OUT.

    A JSON beside OUT, of its name, tells how the result came about; neither files nor people are named in it.

    The report shows before, after and the difference in a viewer, the quality before and after, and how the result
    came about. It is one file that needs no network, and names neither files nor people.
    """
    # The report holds the scan before and after, packed.
    check_output(out, scan, 1 + (stage == "fine") + report)
    if stage == "fine":
        _refuse_overwriting(std_path(out), scan, "the samples' spread goes")
    if report:
        _refuse_overwriting(report_path(out), scan, "the report goes")
    with exit_on_error():
        from bmenet.imaging.scan import load_scan, save_scan
        from bmenet.imaging.scan.sidecar import ENHANCED
        from bmenet.release.models import REGISTRY_PREFIX, find_model

        ENHANCED.check(out)
        degraded = load_scan(scan)
        show_notes(degraded.notes)
        with find_model(model) as found:
            if (providers or precision) and found.runtime(runtime) == "torch":
                raise typer.BadParameter(
                    "expected --runtime onnx with it; got torch", param_hint="--providers, --precision"
                )
            wanted = None if providers is None else [name.strip() for name in providers.split(",")]
            enhancer = found.enhancer(stage, runtime, device, wanted, precision or "fp32")
            if stage == "fine":
                changes = {"steps": steps, "start_timestep": start, "strength": strength, "samples": samples}
                base = enhancer.sampling if found.bundle else None
                enhancer = replace(enhancer, sampling=sampling_with(changes, guidance, base), seed=seed)
            enhancer = replace(
                enhancer,
                keeps_field=keep_field,
                only_brain=only_brain,
                shows=shows,
                phase_encode_axis=phase_encode_axis,
                force=force,
            )
            digest = f" ({found.bundle.digest[:12]})" if found.bundle else ""
            typer.echo(f"model: {found.name}{digest}, {enhancer.runtime} on {enhancer.place}", err=True)
            # A path may tell of people; the name of a registered or released model does not.
            is_named = found.is_released or found.name.startswith(REGISTRY_PREFIX)
            origin = ({"model": found.name} if is_named else {}) | loaded_lineage(found.coarse, stage)
            enhanced = _run(enhancer, degraded, space)
        sidecar = sidecar_of(scan, enhanced, enhancer, {"stage": stage, "space": space}, origin)
        if enhanced.std is not None:
            save_scan(std_path(out), enhanced.std)
        ENHANCED.save(out, enhanced.scan, sidecar)
        if report:
            from bmenet.evaluation.pages import write_page

            path = report_path(out)
            write_page(path, report_page(degraded, enhanced, sidecar, keep_field))
            typer.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)", err=True)
    kind = "skull-stripped brain" if enhanced.is_skull_stripped else "whole head"
    place = "already in standard space, not registered again; " if enhanced.is_in_standard_space else ""
    typer.echo(f"{kind}; {place}similarity to the template {enhanced.registration.similarity:.2f}", err=True)
    if applied := _applied(enhanced.strength):
        typer.echo(applied, err=True)
    typer.echo(_field_line(enhanced.field_size, keep_field), err=True)
    if enhanced.phase_encoding is not None:
        typer.echo(_axis_line(enhanced.phase_encoding), err=True)
    if enhanced.too_bright_litres:
        typer.echo(
            f"{1000 * enhanced.too_bright_litres:.1f} ml of the brain are brighter than anything in training (a"
            " contrast agent?): there the scan stays as it is, but for its field",
            err=True,
        )
    typer.echo(out)


def _field_line(size: float, is_kept: bool) -> str:
    """Say how large the coil's field was, and what became of it."""
    from bmenet.restoration.field import SIZE_ERROR

    done = "left in, as --keep-field says" if is_kept else "taken out; --keep-field leaves it in"
    told = f"{size:.2f} ± {SIZE_ERROR:.2f} in the brain ((high - low) / (high + low))"
    return f"intensity inhomogeneity of {told}: {done}"


def _axis_line(encoding: "PhaseEncoding") -> str:
    """Say along which axis motion was taken to have spread, and who says so."""
    sources = {
        "option": "as --phase-encode-axis says",
        "header": "as its header or sidecar says",
        "air": f"as ghosts in the air tell (confidence {encoding.confidence:.2f})",
        "usual": "as usual, for nothing tells; --phase-encode-axis sets it",
    }
    return f"phase encoding along {encoding.name}, {sources[encoding.source]}"


def _applied(strength: float) -> str:
    """Say it where not all of the restoration was applied."""
    if strength == 1:
        return ""
    if strength == 0:
        return "the networks change next to nothing in this scan: it comes back as it came"
    return f"the networks change little in this scan: {strength:.0%} of the change was applied"


def _run(enhancer: "Enhancer", degraded: "Scan", space: Literal["native", "template"]) -> "Enhanced":
    """Enhance a scan; show how far it is."""
    with progress_bar() as bar:
        tasks: dict[str, TaskID] = {}

        def show(step: str, fraction: float) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=100, note="")
            bar.update(tasks[step], completed=round(100 * fraction))

        return enhancer.enhance(degraded, space, show)


def _refuse_overwriting(path: Path, scan: Path, what: str) -> None:
    """Refuse, as wrong use, a second output that is the input or a folder."""
    if os.path.isdir(path) or are_same(path, scan):
        raise typer.BadParameter(
            f"{path}: {what} there, and it is IN or a folder; choose another OUT", param_hint="OUT"
        )
