"""Stage `train_field`: train the field network, keep its best weights, and record how it went."""

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.data.layout import Layout
from bmenet.runtime.files import read_json
from bmenet.tracking import track_stage
from bmenet.training.engine.trainer import Trainer, clear_checkpoints, write_trained
from bmenet.training.field import FieldTask


def main() -> None:
    """Train from the newest checkpoint to the end; keep the best weights, and record how it went."""
    config, layout = load_config(), Layout()
    task = FieldTask(config, layout, read_json(layout.split))
    with track_stage(config, "train_field", task.inputs, resume_key=task.signature) as run:
        write_trained(task, Trainer(task, run).train(), run)
    clear_checkpoints(task)


if __name__ == "__main__":
    with exit_on_error():
        main()
