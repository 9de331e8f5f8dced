"""What several commands are given: paths, checked before any work begins, the model, and how it samples."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bmenet.cli.errors import exit_on_error
from bmenet.config import PARAMS_FILE, SamplingConfig, load_config
from bmenet.runtime.errors import VolumeError
from bmenet.runtime.files import check_space

ScanArgument = Annotated[
    Path,
    typer.Argument(metavar="IN", help="A T1-weighted scan: .nii, .nii.gz, .mgz, or a folder with one DICOM series."),
]
OutputArgument = Annotated[
    Path, typer.Argument(metavar="OUT", help="A .nii, .nii.gz or .mgz file; replaced if it exists.")
]

KeepFieldOption = Annotated[
    bool,
    typer.Option(
        "--keep-field",
        help="Take out motion and noise, but leave the intensity inhomogeneity as it is: where it is known to be the"
        " scanner's own, or is corrected later.",
    ),
]
OnlyBrainOption = Annotated[
    bool, typer.Option("--only-brain", help="Of a whole head restore the brain alone; all else stays as it came.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        envvar="BMENET_MODEL",
        metavar="NAME|PATH|models:/...",
        help="Released weights by name, a weights folder, a bundle, or a registered model; see `bmenet models`."
        " By default the weights that come with the package.",
    ),
]


def check_output(out: Path, scan: Path, volumes: int = 1) -> None:
    """Refuse, as wrong use, an output that cannot be written or that is the input itself.

    A disk that is too full for so many volumes of the scan's size is refused, too, before any work begins.
    """
    from bmenet.imaging.scan import check_output_name
    from bmenet.imaging.scan.space import result_bytes

    try:
        check_output_name(out)
    except VolumeError as error:
        raise typer.BadParameter(str(error), param_hint="OUT") from error
    except OSError as error:  # no wrong use: another file system might take the name
        with exit_on_error():
            raise VolumeError(f"{out}: cannot be written ({error.strerror})") from error
    if are_same(out, scan):
        raise typer.BadParameter(f"{out}: expected another file than IN; got the same", param_hint="OUT")
    with exit_on_error():
        check_space(out, volumes * result_bytes(scan))


def std_path(out: Path) -> Path:
    """Return where the standard deviation of an output goes: ``scan_std.nii.gz`` for ``scan.nii.gz``."""
    from bmenet.imaging.scan import stem

    name = stem(out)
    return out.with_name(f"{name}_std{out.name.removeprefix(name)}")


def are_same(out: Path, scan: Path) -> bool:
    """Tell whether both are one existing file."""
    try:
        return out.samefile(scan)
    except OSError:
        return False  # one of them is not there, or no file can have its name


def show_notes(notes: tuple[str, ...]) -> None:
    """Tell on stderr what had to be assumed about the scan."""
    for note in notes:
        typer.echo(f"bmenet: warning: {note}", err=True)


def sampling_with(
    changes: dict[str, Any], guidance_scale: float | None, base: SamplingConfig | None = None
) -> SamplingConfig:
    """Return `base`, of a bundle, or else the section `sampling` of params.yaml or the default, with changes.

    None leaves a key as it is. A `start_timestep` implies ``start: reference``.
    """
    from bmenet.restoration.fine_net import DEFAULT_SAMPLING

    sampling = base or (load_config().sampling if PARAMS_FILE.exists() else DEFAULT_SAMPLING)
    given = {key: value for key, value in changes.items() if value is not None}
    if "start_timestep" in given:
        given["start"] = "reference"
    if guidance_scale is not None:
        given["guidance"] = sampling.guidance.model_copy(update={"scale": guidance_scale})
    return sampling.model_copy(update=given)
