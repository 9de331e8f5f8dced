"""What every training stage does around its training: track it, keep the weights, report how it went."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from accelerate import PartialState
from torch import nn

from bmenet.config import Config, load_config
from bmenet.files import read_json, write_json, write_text
from bmenet.layout import Layout
from bmenet.models.weights import Spec, save_weights
from bmenet.tracking import NullLogger, track_stage
from bmenet.training.checkpoint import CheckpointFolder
from bmenet.training.session import Trained
from bmenet.training.setting import Setting


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


def run_fine_stage(
    kind: str,
    *,
    signature: Callable[[Setting], str],
    train: Callable[[Setting, str], Trained],
    describe: Callable[[Setting, nn.Module], Spec],
    parents: Sequence[str] = (),
    sees_coarse: bool = False,
) -> None:
    """Run the stage ``train_<kind>`` of the second stage in the current folder, from its newest checkpoint to the end.

    Parameters
    ----------
    kind : str
    signature, train, describe : callable
        From the setting to what `run_training_stage` wants.
    parents : sequence of str
        The networks that it builds on.
    sees_coarse : bool
        Whether it is trained on coarse results.
    """
    config, layout = load_config(), Layout()
    setting = Setting(config, layout, read_json(layout.split))
    fingerprint = signature(setting)
    coarse = [layout.coarse_folder] if sees_coarse else []
    run_training_stage(
        kind,
        config,
        layout,
        fingerprint,
        [layout.registered, *coarse, layout.split, *map(layout.weights, parents)],
        lambda logger: train(setting.with_logger(logger), fingerprint),
        lambda network: describe(setting, network),
    )


def _table(rows: list[dict[str, float]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
