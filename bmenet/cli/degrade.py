"""`bmenet degrade`: one scan, degraded on its own grid, with a sidecar that can make it again."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bmenet.cli.arguments import OutputArgument, ScanArgument, check_output, show_notes
from bmenet.cli.errors import exit_on_error


def degrade(
    scan: ScanArgument,
    out: OutputArgument,
    code: Annotated[
        str | None,
        typer.Option(metavar="MNB", help="Three digits 0 or 1: motion, noise, bias.", show_default="111"),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same degradation.", show_default="0")] = None,
    severity: Annotated[
        Literal["mild", "moderate", "severe"] | None,
        typer.Option(help="A preset of params.yaml.", show_default="moderate"),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="SIDECAR", help="Make the file of this sidecar again, bit for bit, from the same IN."
        ),
    ] = None,
) -> None:
    """Add motion artefacts, noise and intensity inhomogeneity to a clean scan; prints OUT.

    The ranges come from params.yaml in the current folder, or where there is none from the profile demo. Every drawn
    value goes into a JSON file beside OUT.
    """
    check_output(out, scan)
    if recipe is not None and (code, seed, severity) != (None, None, None):
        raise typer.BadParameter("expected no --code, --seed or --severity: the sidecar has them", param_hint="--from")
    code = "111" if code is None else code
    if len(code) != 3 or set(code) - {"0", "1"}:
        raise typer.BadParameter(f"expected three digits 0 or 1, such as 111; got {code!r}", param_hint="--code")
    with exit_on_error():
        from bmenet.config import PARAMS_FILE, load_config
        from bmenet.config.profiles import load_profile
        from bmenet.degradation.scan import degrade_scan, read_sidecar, remake_scan
        from bmenet.imaging.scan import load_scan, scan_sha256
        from bmenet.imaging.scan.sidecar import DEGRADED

        DEGRADED.check(out)
        clean, clean_sha256 = load_scan(scan), scan_sha256(scan)
        show_notes(clean.notes)
        if recipe is None:
            config = load_config() if PARAMS_FILE.exists() else load_profile()
            preset = config.degradation.presets[severity or "moderate"]
            degraded, sidecar = degrade_scan(clean, clean_sha256, preset, code, seed or 0, config.intensity.percentile)
        else:
            sidecar = read_sidecar(recipe)
            degraded = remake_scan(clean, clean_sha256, sidecar)
        DEGRADED.save(out, degraded, sidecar)
    typer.echo(out)
