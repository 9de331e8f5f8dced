"""Stage `train_prior`: the denoiser of clean latents."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json
from bmenet.layout import Layout
from bmenet.training.prior import describe_prior, prior_signature, train_prior
from bmenet.training.setting import Setting
from bmenet.training.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    signature = prior_signature(setting)
    run_training_stage(
        "prior",
        config,
        layout,
        signature,
        [layout.registered, layout.split, layout.weights("autoencoder")],
        lambda logger: train_prior(setting.with_logger(logger), signature),
        lambda _: describe_prior(setting),
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
