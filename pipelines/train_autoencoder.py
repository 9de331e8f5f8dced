"""Stage `train_autoencoder`: the KL autoencoder of clean volumes, with the scale of its latents."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.training.autoencoder import autoencoder_signature, describe_autoencoder, train_autoencoder
from bmenet.training.fine_stage import run_fine_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    run_fine_stage(
        "autoencoder",
        load_config(),
        Layout(),
        signature=autoencoder_signature,
        train=train_autoencoder,
        describe=describe_autoencoder,
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
