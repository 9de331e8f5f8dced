"""Stage `train_edge_autoencoder`: the image autoencoder, fine-tuned on the gradient magnitude of clean volumes."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.training.autoencoder import (
    describe_edge_autoencoder,
    edge_autoencoder_signature,
    train_edge_autoencoder,
)
from bmenet.training.setting import Setting
from bmenet.training.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    signature = edge_autoencoder_signature(setting)
    run_training_stage(
        "edge_autoencoder",
        config,
        layout,
        signature,
        [layout.registered, layout.split, layout.weights("autoencoder")],
        lambda logger: train_edge_autoencoder(setting.with_logger(logger), signature),
        lambda trained: describe_edge_autoencoder(setting, trained.network),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
