"""Stage `train_covariates`: sex, age and volumes from the coarse result."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.training.covariates import covariates_signature, describe_covariates, train_covariates
from bmenet.training.fine_stage import run_fine_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    run_fine_stage(
        "covariates",
        load_config(),
        Layout(),
        signature=covariates_signature,
        train=train_covariates,
        describe=describe_covariates,
        parents=("autoencoder", "prior"),
        sees_coarse=True,
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
