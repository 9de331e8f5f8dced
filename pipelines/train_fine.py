"""Stage `train_fine`: the ControlNet that steers the frozen prior."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.training.fine import describe_fine, fine_signature, train_fine
from bmenet.training.setting import Setting
from bmenet.training.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    signature = fine_signature(setting)
    run_training_stage(
        "fine",
        config,
        layout,
        signature,
        [
            layout.registered,
            layout.coarse_folder,
            layout.split,
            *map(layout.weights, ("autoencoder", "edge_autoencoder", "covariates", "prior")),
        ],
        lambda logger: train_fine(setting.with_logger(logger), signature),
        lambda _: describe_fine(setting),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
