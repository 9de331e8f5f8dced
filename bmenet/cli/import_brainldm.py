"""`bmenet import-brainldm`: the published denoiser, in this project's format."""

from pathlib import Path
from typing import Annotated

import typer

from bmenet.cli.errors import exit_on_error


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
        from bmenet.config import load_config
        from bmenet.config.profiles import Profiles
        from bmenet.data.layout import Layout
        from bmenet.networks.brainldm import import_brainldm as convert

        config = load_config(profile) if Path(profile).is_file() else Profiles().load(profile)
        weights = Layout().weights_folder
        counts = convert(source, weights, config, scale_factor)
    typer.echo("; ".join(f"{kind}: {count} tensors" for kind, count in counts.items()), err=True)
    for kind in counts:
        typer.echo(weights / kind)
