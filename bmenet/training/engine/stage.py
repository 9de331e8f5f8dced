"""What every training stage does around its training: track it, keep the weights, report how it went."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from accelerate import PartialState
from torch import nn

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.networks.weights import Spec, save_weights
from bmenet.runtime.files import write_json, write_text
from bmenet.tracking import NullLogger, track_stage
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.session import Trained


def run_training_stage(
    kind: str,
    config: Config,
    layout: Layout,
    signature: str,
    inputs: Iterable[Path],
    train: Callable[[NullLogger], Trained],
    describe: Callable[[nn.Module], Spec],
) -> None:
    """Run the stage ``train_<kind>``; in a distributed run only the main process writes.

    Parameters
    ----------
    kind : str
        Of network: names its weights, checkpoints and reports.
    config : Config
    layout : Layout
    signature : str
        Fingerprint of all that decides the trained weights.
    inputs : iterable of Path
        What the stage reads, for the record.
    train : callable
        From a logger to what was trained.
    describe : callable
        From the trained network to the spec that its weights are kept with.
    """
    stage = f"train_{kind}"
    with track_stage(config, stage, inputs, resume_key=signature) as run:
        trained = train(run)
        if not PartialState().is_main_process:
            return
        lineage = {"profile": config.profile, "seed": config.seed, "training": signature, **trained.metrics}
        spec = {"spacing_mm": config.grid.spacing_mm, **describe(trained.network), "lineage": lineage}
        save_weights(layout.weights(kind), kind, trained.network, spec)
        report = layout.report(stage)
        write_json(report / "metrics.json", trained.metrics)
        write_text(report / "history.csv", _table(trained.history))
        write_text(report / "validation.csv", _table(trained.validations))
        run.log_artifact(layout.weights(kind), "weights")
        run.log_artifact(report, "reports")
    CheckpointFolder(layout.checkpoints(kind), signature).clear()


def _table(rows: list[dict[str, float]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
