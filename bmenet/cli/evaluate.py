"""`bmenet evaluate`: how close an enhanced scan is to the clean one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.cli.paths import show_notes


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
    """Measure PSNR, SSIM, NCC and HFEN over the whole grid and inside the brain.

    A clean scan beyond [0, 1] sets the scale: both are divided by the 99.5th percentile of its foreground.
    """
    from bmenet.evaluation.files import measure_scans  # Late: --help answers at once.

    with exit_on_error():
        result = measure_scans(enhanced, clean, brain_mask)
    show_notes(result.notes)
    if as_json:
        typer.echo(json.dumps(result.metrics | {"intensity_scale": result.scale}, indent=2))
    else:
        for name, value in result.metrics.items():
            typer.echo(f"{name:<12}{value:10.4f}")
