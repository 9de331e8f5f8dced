"""`bmenet degrade`: one scan, degraded on its own grid, with a sidecar that can make it again."""

from typing import Annotated, Literal

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import OutputArgument, ScanArgument, check_output, show_notes


def degrade(
    scan: ScanArgument,
    out: OutputArgument,
    code: Annotated[str, typer.Option(metavar="MNB", help="Three digits 0 or 1: motion, noise, bias.")] = "111",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same degradation.")] = 0,
    severity: Annotated[
        Literal["mild", "moderate", "severe"], typer.Option(help="A preset of params.yaml.")
    ] = "moderate",
) -> None:
    """Add motion artefacts, noise and intensity inhomogeneity to a clean scan; prints OUT.

    The ranges come from params.yaml in the current folder. Every drawn value goes into a JSON file beside OUT.

    Exit codes: 0 done; 1 the scan or params.yaml cannot be used; 2 wrong use.
    """
    check_output(out, scan)
    if len(code) != 3 or set(code) - {"0", "1"}:
        raise typer.BadParameter(f"expected three digits 0 or 1, such as 111; got {code!r}", param_hint="--code")
    with exit_on_error():
        from bmenet.config import load_config
        from bmenet.files import write_json
        from bmenet.scan import load_scan, save_scan
        from bmenet.scan.degrade import degrade_scan

        config = load_config()
        clean = load_scan(scan)
        show_notes(clean.notes)
        preset = config.degradation.presets[severity]
        degraded, sidecar = degrade_scan(clean, preset, code, seed, config.intensity.percentile)
        write_json(out.with_name(out.name.removesuffix(".gz").removesuffix(".nii") + ".json"), sidecar)
        save_scan(out, degraded)
    typer.echo(out)
