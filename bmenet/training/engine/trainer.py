"""Train any network from its newest good checkpoint to its best weights. It knows no network and no tracker."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env
from torch import nn

from bmenet.networks.compute import fastest_dtype, lay_channels_last
from bmenet.networks.weights import save_weights
from bmenet.runtime.errors import TrainingError
from bmenet.runtime.files import write_json, write_text
from bmenet.runtime.logger import Logger, NullLogger
from bmenet.runtime.progress import console, progress_bar
from bmenet.runtime.seeding import derive_seed
from bmenet.training.engine.checkpoint import Checkpoint, CheckpointFolder
from bmenet.training.engine.state import TrainingState
from bmenet.training.engine.task import Batch, Task, batch_loader

Row = dict[str, float]


@dataclass(frozen=True)
class Trained:
    """What a training left: the best network on the CPU, its scores, and a row for every log and validation."""

    network: nn.Module
    metrics: Row
    history: list[Row]
    validations: list[Row]


class Trainer:
    """Train the network of a task.

    Batch number `step` and the learning rate are functions of the step, so going on from a checkpoint is the same
    computation as never having stopped: on a CPU, with the same number of threads, to the last bit.

    The logger gets the rows of the history, and the metrics and the picture of every validation.
    """

    def __init__(self, task: Task, logger: Logger | None = None) -> None:
        self.task = task
        self.logger = logger or NullLogger()
        self.schedule = task.schedule
        self.checkpoints = task.checkpoints

    def train(self) -> Trained:
        """Train until the last step or `patience` is over, and return the averaged weights with the best score.

        Raises
        ------
        TrainingError
            If the loss or its gradient is not finite (the last checkpoint stays), or on SIGTERM or SIGINT (one is
            written).
        """
        checkpoint = _load(self.checkpoints)
        # A training that goes on keeps the number format that it began with.
        precision = checkpoint.scalars["precision"] if checkpoint else _mixed_precision(self.task.precision)
        self.task.prepare(torch.bfloat16 if precision == "bf16" else torch.float32)
        _flush_denormals()
        self.accelerator = Accelerator(mixed_precision=precision)
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(self.task.config.seed, f"{self.task.kind} weights"))
            network = lay_channels_last(self.task.network().to(self.accelerator.device))
        self.state = TrainingState.start(network, self.schedule)
        if checkpoint:
            self.state.restore(checkpoint)
            console.print(f"train_{self.task.kind}: going on from step {self.state.step} of {self.schedule.steps}")
        self._loop()
        return self._trained()

    def _loop(self) -> None:
        """Take steps; log, validate and write checkpoints where the schedule says so."""
        state, schedule, accelerator = self.state, self.schedule, self.accelerator
        network, optimiser = accelerator.prepare(state.network, state.optimiser)
        network.train()
        batches = iter(batch_loader(self.task.batches(), state.step, schedule.steps, self.task.workers, accelerator))
        with _stop_signal() as stop, progress_bar() as bar:
            shown = bar.add_task("train", total=schedule.steps, completed=state.step, note="")
            while state.step < schedule.steps and state.misses < schedule.patience:
                self._step(network, optimiser, next(batches))
                is_last = state.step == schedule.steps
                if state.step % schedule.log_every == 0:
                    self._log()
                    bar.update(shown, note=f"loss {state.history[-1]['train.loss']:.4f}")
                if state.step % schedule.validate_every == 0 or is_last:
                    bar.update(shown, note="validating")
                    self._validate()
                bar.update(shown, completed=state.step)
                is_stopped = _is_any_stopped(stop, accelerator)
                is_due = state.step % schedule.checkpoint_every == 0 or is_last
                if (is_due or is_stopped) and accelerator.is_main_process:
                    self.checkpoints.save(state.step, state.to_checkpoint(accelerator.mixed_precision))
                if is_stopped:
                    accelerator.wait_for_everyone()  # a process that ends early may have the launcher end the others
                    reason = stop[0] if stop else "a signal to another process"
                    raise TrainingError(
                        f"stopped by {reason} at step {state.step} of {schedule.steps}; run it again to go on"
                    )

    def _step(self, network: nn.Module, optimiser: torch.optim.Optimizer, batch: Batch) -> None:
        """Take one step of the optimiser."""
        state, accelerator = self.state, self.accelerator
        batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in batch.items()}
        for group in optimiser.param_groups:
            group["lr"] = self.schedule.rate(state.step)
        optimiser.zero_grad()
        total, terms = self.task.loss(network, batch)
        accelerator.backward(total)
        norm = accelerator.clip_grad_norm_(network.parameters(), self.schedule.gradient_clip)
        values = torch.stack([total.detach(), *terms.values(), norm])
        row = dict(zip(["loss", *terms, "gradient_norm"], values.tolist(), strict=True))
        if not values.isfinite().all():
            raise TrainingError(
                f"step {state.step}: expected a finite loss; got {row}; the last checkpoint is good:"
                " lower its learning_rate or gradient_clip in params.yaml"
            )
        optimiser.step()
        state.average(self.schedule.averaging(state.step))
        state.step += 1
        for name, value in row.items():
            state.sums[name] = state.sums.get(name, 0.0) + value

    def _log(self) -> None:
        """Add a row to the history: means since the last one, and the learning rate."""
        state = self.state
        row = {f"train.{name}": value / self.schedule.log_every for name, value in state.sums.items()}
        row["train.learning_rate"] = self.schedule.rate(state.step - 1)
        state.sums = {}
        state.history.append({"step": state.step, **row})
        self.logger.log_metrics(row, step=state.step)

    def _validate(self) -> None:
        """Validate the averaged network on the main process and tell the others its score."""
        state = self.state
        outcome: list = [None]
        if self.accelerator.is_main_process:
            score, metrics, figure = self.task.validate(state.averaged, state.step)
            self.logger.log_metrics(metrics, step=state.step)
            if figure is not None:
                self.logger.log_figure(figure, f"validation/step-{state.step:08d}.png")
            outcome = [(score, metrics)]
        score, metrics = broadcast_object_list(outcome)[0]
        state.rank(score)
        state.validations.append({"step": state.step, **metrics})
        console.print(" ".join(f"{name} {value:.5g}" for name, value in state.validations[-1].items()))

    def _trained(self) -> Trained:
        """Return the best weights in a network of their own."""
        state = self.state
        best = self.task.network()
        best.load_state_dict(state.best)
        scores = next(row for row in state.validations if row["step"] == state.best_step)
        metrics = {**scores, "best_step": state.best_step, "steps": state.step}
        del metrics["step"]
        return Trained(best.eval(), metrics, state.history, state.validations)


def write_trained(task: Task, trained: Trained, logger: Logger) -> None:
    """Keep the weights, and report how the training went; in a distributed training only the main process writes.

    ``weights/<kind>``, its spec with the digests of the networks that it was trained with; ``metrics.json``,
    ``history.csv`` and ``validation.csv`` in the report of the stage. The logger gets a copy of both folders.
    """
    if not PartialState().is_main_process:
        return
    config, weights, report = task.config, task.layout.weights(task.kind), task.layout.report(f"train_{task.kind}")
    lineage = {"profile": config.profile, "seed": config.seed, **trained.metrics}
    spec = {"spacing_mm": config.grid.spacing_mm, **task.spec(trained.network), "lineage": lineage}
    if task.parents:
        spec["parents"] = task.parent_digests()
    save_weights(weights, task.kind, trained.network, spec)
    write_json(report / "metrics.json", trained.metrics)
    for name, rows in (("history", trained.history), ("validation", trained.validations)):
        write_text(report / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False))
    logger.log_artifact(weights, "weights")
    logger.log_artifact(report, "reports")


def clear_checkpoints(task: Task) -> None:
    """Remove the state of a training whose weights are kept; in a distributed training only the main process does."""
    if PartialState().is_main_process:
        task.checkpoints.clear()


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


def _is_any_stopped(received: list[str], accelerator: Accelerator) -> bool:
    """Tell whether any process received a signal, so that all end after the same step and none waits for another."""
    if received:
        accelerator.set_trigger()
    return accelerator.check_trigger()


@contextmanager
def _stop_signal() -> Iterator[list[str]]:
    """Yield a list that receives the name of SIGTERM or SIGINT when one comes, so that a step is never torn."""
    received: list[str] = []
    chosen = (signal.SIGTERM, signal.SIGINT)
    previous = [
        signal.signal(number, lambda number, _: received.append(signal.Signals(number).name)) for number in chosen
    ]
    try:
        yield received
    finally:
        for number, handler in zip(chosen, previous, strict=True):
            signal.signal(number, handler)
