"""Stage `train_edge_autoencoder`: the image autoencoder, fine-tuned on the gradient magnitude of clean volumes."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.training.autoencoder import describe_edge_autoencoder, edge_autoencoder_signature, train_edge_autoencoder
from bmenet.training.fine_stage import run_fine_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    run_fine_stage(
        "edge_autoencoder",
        load_config(),
        Layout(),
        signature=edge_autoencoder_signature,
        train=train_edge_autoencoder,
        describe=describe_edge_autoencoder,
        parents=("autoencoder",),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
