"""Stage `train_fine`: the ControlNet that steers the frozen prior."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.training.fine import describe_fine, fine_signature, train_fine
from bmenet.training.fine_stage import run_fine_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    run_fine_stage(
        "fine",
        load_config(),
        Layout(),
        signature=fine_signature,
        train=train_fine,
        describe=describe_fine,
        parents=("autoencoder", "edge_autoencoder", "covariates", "prior"),
        sees_coarse=True,
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
