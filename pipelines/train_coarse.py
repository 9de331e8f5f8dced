"""Stage `train_coarse`: train the Coarse-net, keep its best weights, and record how it went."""

import csv
import io

from accelerate import PartialState

from bmenet.cli.errors import exit_on_error
from bmenet.config import load_config
from bmenet.files import read_json, write_json, write_text
from bmenet.layout import Layout
from bmenet.models.weights import save_coarse
from bmenet.tracking import track_stage
from bmenet.training.checkpoint import CheckpointFolder
from bmenet.training.coarse import train_coarse, training_signature


def main() -> None:
    """Train; in a distributed run only the main process writes."""
    config, layout = load_config(), Layout()
    split = read_json(layout.split)
    signature = training_signature(config, split, layout)
    inputs = [layout.registered, layout.degraded_folder, layout.split]
    with track_stage(config, "train_coarse", inputs, resume_key=signature) as run:
        training = train_coarse(config, split, layout, run)
        if not PartialState().is_main_process:
            return
        spec = {
            "config": config.coarse.model_dump(mode="json"),
            "spacing_mm": config.grid.spacing_mm,
            "lineage": {"profile": config.profile, "seed": config.seed, "training": signature, **training.metrics},
        }
        save_coarse(layout.weights("coarse"), training.network, spec)
        report = layout.report("train_coarse")
        write_json(report / "metrics.json", training.metrics)
        write_text(report / "history.csv", _table(training.history))
        write_text(report / "validation.csv", _table(training.validations))
        run.log_artifact(layout.weights("coarse"), "weights")
        run.log_artifact(report, "reports")
    CheckpointFolder(layout.checkpoints("coarse"), signature).clear()


def _table(rows: list[dict[str, float]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    with exit_on_error():
        main()
