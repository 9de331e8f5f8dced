"""Stage `train_prior`: the denoiser of clean latents."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.training.fine_stage import run_fine_stage
from bmenet.training.prior import describe_prior, prior_signature, train_prior


def main() -> None:
    """Train from the newest checkpoint to the end."""
    run_fine_stage(
        "prior",
        load_config(),
        Layout(),
        signature=prior_signature,
        train=train_prior,
        describe=describe_prior,
        parents=("autoencoder",),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
