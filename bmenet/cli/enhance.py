"""`bmenet enhance`: restore one scan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import ModelOption, OutputArgument, ScanArgument, check_output, show_notes, std_path
from bmenet.cli.sampling import sampling_with

if TYPE_CHECKING:
    from bmenet.inference.enhancer import Enhanced, Enhancer
    from bmenet.report import Page, Table
    from bmenet.scan import Scan


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
    model: ModelOption = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the network runs.")] = "auto",
    report: Annotated[
        bool, typer.Option("--report", help="Write a page for the browser, too: OUT's name with .html.")
    ] = False,
) -> None:
    """Restore a scan from motion, noise and intensity inhomogeneity; same grid, affine and intensity scale.

    With --stage fine, what is not given comes from the section `sampling` of params.yaml, where there is one.

    A whole head and a skull-stripped brain both work; of a whole head only the brain is changed. Prints OUT.

    The report shows before, after and the difference in a viewer, the quality before and after, and how the result
    came about. It is one file that needs no network, and names neither files nor people.
    """
    check_output(out, scan)
    if stage == "fine":
        _refuse_overwriting(std_path(out), scan, "the samples' spread goes")
    if report:
        _refuse_overwriting(_report_path(out), scan, "the report goes")
    with exit_on_error():
        from rich.progress import TaskID

        from bmenet.inference import Enhancer
        from bmenet.inference.model_source import REGISTRY_PREFIX, find_weights
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
            lineage = _weights_lineage(folder, stage) if report else {}
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
        if report:
            from bmenet.report import write_page

            registered = {"model": model} if model and model.startswith(REGISTRY_PREFIX) else {}
            settings: dict[str, str] = {"stage": stage, "space": space}
            page = _page(scan, out, degraded, enhanced, enhancer, settings, registered | lineage)
            write_page(_report_path(out), page)
            size_mb = _report_path(out).stat().st_size / 1e6
            typer.echo(f"report: {_report_path(out)} ({size_mb:.1f} MB)", err=True)
    kind = "skull-stripped brain" if enhanced.is_skull_stripped else "whole head"
    place = "already in standard space, not registered again; " if enhanced.is_in_standard_space else ""
    typer.echo(f"{kind}; {place}similarity to the template {enhanced.registration.similarity:.2f}", err=True)
    typer.echo(out)


def _report_path(out: Path) -> Path:
    """Return where the report of an output goes: ``scan.html`` for ``scan.nii.gz``."""
    return out.with_name(f"{out.name.removesuffix('.gz').removesuffix('.nii')}.html")


def _refuse_overwriting(path: Path, scan: Path, what: str) -> None:
    """Refuse, as wrong use, a second output that is the input or a folder."""
    try:
        is_taken = path.is_dir() or path.samefile(scan)
    except OSError:
        return  # one of them is not there
    if is_taken:
        raise typer.BadParameter(
            f"{path}: {what} there, and it is IN or a folder; choose another OUT", param_hint="OUT"
        )


def _weights_lineage(folder: Path, stage: str) -> dict[str, str]:
    """Return what the weights that were loaded tell of themselves."""
    from bmenet.models.fine_weights import KINDS
    from bmenet.report.lineage import weights_lineage

    return weights_lineage([folder, *(folder.parent / kind for kind in KINDS if stage == "fine")])


def _page(
    scan: Path,
    out: Path,
    degraded: "Scan",
    enhanced: "Enhanced",
    enhancer: "Enhancer",
    settings: dict[str, str],
    lineage: dict[str, str],
) -> "Page":
    """Return the report's page: on the grid of OUT, and without a name or a path."""
    from bmenet.errors import VolumeError
    from bmenet.report.lineage import flat, software_versions
    from bmenet.report.scan_report import Course, scan_page
    from bmenet.resample import resample
    from bmenet.scan.checksum import scan_sha256

    before, after = degraded.volume, enhanced.scan.volume
    if settings["space"] == "template":
        before = resample(before, after.grid, enhanced.registration.moving2fixed)
    tables: list[Table] = []
    notes = degraded.notes
    try:
        tables.append(_quality(scan, out, enhancer.device.type))
    except VolumeError:
        # The result is there and can be looked at; what cannot be measured in it must not cost the report.
        notes += ("The quality could not be measured: brain or tissues were not found in one of the scans.",)
    settings = settings | {"device": enhancer.device.type, "grid of the network": f"{enhancer.spacing_mm} mm"}
    if enhancer.fine is not None:
        settings |= {"seed": str(enhancer.seed)} | flat(enhancer.sampling.model_dump(mode="json"), "sampling.")
    return scan_page(
        before,
        after,
        None if enhanced.std is None else enhanced.std.volume,
        Course(
            enhanced.registration.similarity,
            enhanced.registration.backend,
            enhanced.is_skull_stripped,
            enhanced.is_in_standard_space,
            enhanced.timings,
        ),
        settings,
        lineage | {"input: SHA-256": scan_sha256(scan)} | software_versions(),
        tables,
        notes,
    )


def _quality(scan: Path, out: Path, device: str) -> "Table":
    """Measure both files as `bmenet qc` does."""
    from bmenet.progress import progress_bar
    from bmenet.quality.scans import STEPS, compare, measure_scan
    from bmenet.report.quality_table import quality_table

    with progress_bar() as bar:
        task = bar.add_task("measure the quality", total=2 * len(STEPS), completed=-1, note="")

        def show(step: str) -> None:
            bar.update(task, advance=1, note=step)

        before, after = (measure_scan(path, device, show) for path in (scan, out))
        bar.update(task, advance=1, note="")
    changes, notes = compare(before, after)
    reasons = before.quality.reasons | after.quality.reasons
    return quality_table(before.quality.values, after.quality.values, changes, reasons, notes)
