"""One training from its newest good checkpoint to its best weights, whatever is trained."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env
from torch import nn

from bmenet.networks.memory import lay_channels_last
from bmenet.networks.precision import fastest_dtype
from bmenet.runtime.progress import console
from bmenet.runtime.seeding import derive_seed
from bmenet.tracking import NullLogger
from bmenet.training.engine.checkpoint import Checkpoint, CheckpointFolder
from bmenet.training.engine.loader import Batch
from bmenet.training.engine.loop import LossFunction, Validation, train
from bmenet.training.engine.schedule import Schedule
from bmenet.training.engine.state import TrainingState


@dataclass(frozen=True)
class Task:
    """What is particular to one training.

    Parameters
    ----------
    name : str
        ``train_<name>`` is its stage.
    build : callable
        Returns the network before its first step, on the CPU.
    load_batches : callable
        From a first step and the accelerator to the batches from there on.
    objective, validation : callable
        From the number format of the forward pass to the loss and to the validation: see `train`.
    """

    name: str
    build: Callable[[], nn.Module]
    load_batches: Callable[[int, Accelerator], Iterable[Batch]]
    objective: Callable[[torch.dtype], LossFunction]
    validation: Callable[[torch.dtype], Validation]


@dataclass(frozen=True)
class Trained:
    """What a training left: the best network on the CPU, its scores, and a row for every log and validation."""

    network: nn.Module
    metrics: dict[str, float]
    history: list[dict[str, float]]
    validations: list[dict[str, float]]


def train_network(
    task: Task, schedule: Schedule, precision: str, seed: int, checkpoints: CheckpointFolder, logger: NullLogger
) -> Trained:
    """Train, going on from the newest good checkpoint; return the averaged weights of the best validation.

    Parameters
    ----------
    task : Task
    schedule : Schedule
    precision : {"auto", "fp32", "bf16"}
        A training that goes on keeps the one it began with.
    seed : int
        Of the initial weights, together with the task's name.
    checkpoints : CheckpointFolder
    logger : NullLogger

    Raises
    ------
    TrainingError
        If the loss is not finite, or training was asked to stop.
    """
    _flush_denormals()
    checkpoint = _load(checkpoints)
    mixed_precision = checkpoint.scalars["precision"] if checkpoint else _mixed_precision(precision)
    accelerator = Accelerator(mixed_precision=mixed_precision)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, f"{task.name} weights"))
        network = lay_channels_last(task.build().to(accelerator.device))
    state = TrainingState.start(network, schedule)
    if checkpoint:
        state.restore(checkpoint)
        console.print(f"train_{task.name}: going on from step {state.step} of {schedule.steps}")
    dtype = torch.bfloat16 if mixed_precision == "bf16" else torch.float32
    train(
        state,
        lambda start: task.load_batches(start, accelerator),
        task.objective(dtype),
        task.validation(dtype),
        schedule,
        checkpoints,
        accelerator,
        logger,
    )
    best = task.build()
    best.load_state_dict(state.best)
    scores = next(row for row in state.validations if row["step"] == state.best_step)
    metrics = {**scores, "best_step": state.best_step, "steps": state.step}
    metrics.pop("step")
    return Trained(best.eval(), metrics, state.history, state.validations)


def _load(checkpoints: CheckpointFolder) -> Checkpoint | None:
    """Load in every process of a distributed training; the main one goes first, for it alone clears the folder."""
    processes = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))  # as Accelerator would make it
    with processes.main_process_first():
        checkpoint = checkpoints.load(may_clear=processes.is_main_process)
    processes.wait_for_everyone()  # the main process removes old ones as soon as it saves
    return checkpoint


def _mixed_precision(precision: str) -> str:
    """Return accelerate's word for a precision of params.yaml."""
    if precision == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return "bf16" if fastest_dtype(device) == torch.bfloat16 else "no"
    return "bf16" if precision == "bf16" else "no"


def _flush_denormals() -> None:
    """Treat denormal numbers as zero: as operands they slow a CPU many times over."""
    for kind in (np.float32, np.float64):
        # NumPy looks for the smallest denormal when first asked, and warns if it finds none: ask before.
        _ = np.finfo(kind).smallest_subnormal
    torch.set_flush_denormal(True)
