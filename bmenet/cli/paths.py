"""Paths given on the command line, checked before any work begins."""

from pathlib import Path
from typing import Annotated

import typer

from bmenet.cli.errors import exit_on_error

ScanArgument = Annotated[
    Path, typer.Argument(metavar="IN", help="A T1-weighted scan: .nii, .nii.gz, or a folder with one DICOM series.")
]
OutputArgument = Annotated[Path, typer.Argument(metavar="OUT", help="A .nii or .nii.gz file; replaced if it exists.")]

ModelOption = Annotated[
    str | None,
    typer.Option(
        envvar="BMENET_MODEL",
        metavar="NAME|PATH|models:/...",
        help="Released weights by name, a weights folder, a bundle, or a registered model; see `bmenet models`."
        " By default the weights that come with the package.",
    ),
]


def check_output(out: Path, scan: Path) -> None:
    """Refuse, as wrong use, an output that cannot be written or that is the input itself."""
    from bmenet.imaging.scan import check_output_name
    from bmenet.runtime.errors import VolumeError

    try:
        check_output_name(out)
    except VolumeError as error:
        raise typer.BadParameter(str(error), param_hint="OUT") from error
    except OSError as error:  # no wrong use: another file system might take the name
        with exit_on_error():
            raise VolumeError(f"{out}: cannot be written ({error.strerror})") from error
    if _are_same(out, scan):
        raise typer.BadParameter(f"{out}: expected another file than IN; got the same", param_hint="OUT")


def std_path(out: Path) -> Path:
    """Return where the standard deviation of an output goes: ``scan_std.nii.gz`` for ``scan.nii.gz``."""
    suffix = ".nii.gz" if out.name.endswith(".nii.gz") else ".nii"
    return out.with_name(f"{out.name.removesuffix(suffix)}_std{suffix}")


def _are_same(out: Path, scan: Path) -> bool:
    """Tell whether both are one existing file."""
    try:
        return out.samefile(scan)
    except OSError:
        return False  # one of them is not there, or no file can have its name


def show_notes(notes: tuple[str, ...]) -> None:
    """Tell on stderr what had to be assumed about the scan."""
    for note in notes:
        typer.echo(f"bmenet: warning: {note}", err=True)
