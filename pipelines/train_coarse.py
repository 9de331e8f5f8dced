"""Stage `train_coarse`: train the Coarse-net, keep its best weights, and record how it went."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.runtime.files import read_json
from bmenet.training.coarse import train_coarse, training_signature
from bmenet.training.engine.stage import run_training_stage


def main() -> None:
    """Train from the newest checkpoint to the end."""
    config, layout = load_config(), Layout()
    split = read_json(layout.split)
    run_training_stage(
        "coarse",
        config,
        layout,
        training_signature(config, split, layout),
        [layout.registered, layout.degraded_folder, layout.split],
        lambda logger: train_coarse(config, split, layout, logger),
        lambda _: {"config": config.coarse.model_dump(mode="json")},
    )


if __name__ == "__main__":
    with exit_on_error():
        main()
