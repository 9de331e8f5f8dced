"""Stage `train_autoencoder`: the KL autoencoder of clean volumes, with the scale of its latents."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.training.autoencoder import autoencoder_signature, describe_autoencoder, train_autoencoder
from bmenet.training.setting import Setting
from bmenet.training.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    signature = autoencoder_signature(setting)
    run_training_stage(
        "autoencoder",
        config,
        layout,
        signature,
        [layout.registered, layout.split],
        lambda logger: train_autoencoder(setting.with_logger(logger), signature),
        lambda trained: describe_autoencoder(setting, trained.network),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
