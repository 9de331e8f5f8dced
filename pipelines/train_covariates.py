"""Stage `train_covariates`: sex, age and volumes from the coarse result."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.training.covariates import covariates_signature, describe_covariates, train_covariates
from bmenet.training.setting import Setting
from bmenet.training.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    signature = covariates_signature(setting)
    run_training_stage(
        "covariates",
        config,
        layout,
        signature,
        [layout.registered, layout.coarse_folder, layout.split, layout.weights("autoencoder"), layout.weights("prior")],
        lambda logger: train_covariates(setting.with_logger(logger), signature),
        lambda _: describe_covariates(setting),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
