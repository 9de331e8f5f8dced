"""Train the Coarse-net: what is particular to it, around the loop that is not."""

import hashlib
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from bmenet.config import CoarseConfig, Config
from bmenet.errors import ConfigError
from bmenet.layout import Layout
from bmenet.losses import CoarseLoss
from bmenet.models import build_coarse
from bmenet.models.precision import fastest_dtype
from bmenet.progress import console
from bmenet.seeding import derive_seed
from bmenet.tracking import NullLogger
from bmenet.training.batches import Batch, SliceBatches, batch_loader
from bmenet.training.cases import Cases, FreshCases, StoredCases
from bmenet.training.checkpoint import CheckpointFolder
from bmenet.training.loop import train
from bmenet.training.schedule import Schedule
from bmenet.training.state import TrainingState
from bmenet.training.validation import CODES, CoarseValidation

Split = dict[str, Any]
"""``train``, ``validation`` and ``test``: lists of subjects."""

_NOT_DECISIVE = {"workers", "checkpoint_every"}
"""Keys of `coarse` that leave the trained weights as they are."""


@dataclass(frozen=True)
class CoarseTraining:
    """What a training left: the best network on the CPU, its scores, and a row for every log and validation."""

    network: nn.Module
    metrics: dict[str, float]
    history: list[dict[str, float]]
    validations: list[dict[str, float]]


def training_signature(config: Config, split: Split) -> str:
    """Return a fingerprint of all that decides the trained weights; a checkpoint is resumed only under the same."""
    decisive = {
        "seed": config.seed,
        "grid": config.grid.model_dump(mode="json"),
        "intensity": config.intensity.model_dump(mode="json"),
        "severity": config.degradation.preset.model_dump(mode="json"),
        "coarse": config.coarse.model_dump(mode="json", exclude=_NOT_DECISIVE),
        "split": {name: list(split[name]) for name in ("train", "validation")},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def train_coarse(config: Config, split: Split, layout: Layout, logger: NullLogger) -> CoarseTraining:
    """Train the Coarse-net, going on from its newest good checkpoint.

    Parameters
    ----------
    config : Config
    split : dict
        Subjects by subset.
    layout : Layout
        Where clean and degraded volumes are, and where checkpoints go.
    logger : NullLogger

    Returns
    -------
    CoarseTraining
        The averaged weights of the validation with the best PSNR of code 111.

    Raises
    ------
    ConfigError
        If a subset is empty or `code_weights` names a code that is not degraded.
    TrainingError
        If the loss is not finite, or training was asked to stop.
    """
    _require_cases(config, split)
    _flush_denormals()
    coarse = config.coarse
    checkpoints = CheckpointFolder(layout.coarse_checkpoints, training_signature(config, split))
    checkpoint = checkpoints.load()
    # A run keeps the precision it began with, wherever it goes on.
    precision = checkpoint.scalars["precision"] if checkpoint else _precision(coarse)
    accelerator = Accelerator(mixed_precision=precision)
    set_seed(derive_seed(config.seed, "coarse weights") % 2**32)
    network = build_coarse(coarse).to(accelerator.device, memory_format=torch.channels_last)
    schedule = Schedule(
        **coarse.model_dump(include=set(Schedule.__dataclass_fields__)), log_every=config.tracking.log_every
    )
    state = TrainingState.start(network, schedule)
    if checkpoint:
        state.restore(checkpoint)
        console.print(f"train_coarse: going on from step {state.step} of {schedule.steps}")
    autocast_dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    batches = SliceBatches(_cases(config, split["train"], layout), coarse, config.seed)
    train(
        state,
        lambda start: batch_loader(
            batches, start, coarse.steps, coarse.workers, accelerator.process_index, accelerator.num_processes
        ),
        _CoarseObjective(coarse),
        CoarseValidation(coarse, layout, split["validation"], autocast_dtype, logger),
        schedule,
        checkpoints,
        accelerator,
        logger,
    )
    best = build_coarse(coarse)
    best.load_state_dict(state.best)
    scores = next(row for row in state.validations if row["step"] == state.best_step)
    metrics = {**scores, "best_step": state.best_step, "steps": state.step}
    metrics.pop("step")
    return CoarseTraining(best.eval(), metrics, state.history, state.validations)
