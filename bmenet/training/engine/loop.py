"""The training loop: batches in, averaged weights out. It knows no network, no loss and no tracker."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from bmenet.runtime.errors import TrainingError
from bmenet.runtime.progress import console, progress_bar
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.loader import Batch
from bmenet.training.engine.schedule import Schedule
from bmenet.training.engine.state import TrainingState


class MetricsLogger(Protocol):
    """What the loop needs of a run logger."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers of a step."""


LossFunction = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]
"""(network, batch) to the total loss and its named terms."""

Validation = Callable[[nn.Module, int], tuple[float, dict[str, float]]]
"""(averaged network, step) to a score, higher is better, and named metrics."""


def train(
    state: TrainingState,
    load_batches: Callable[[int], Iterable[Batch]],
    loss_function: LossFunction,
    validate: Validation,
    schedule: Schedule,
    checkpoints: CheckpointFolder,
    accelerator: Accelerator,
    logger: MetricsLogger,
) -> None:
    """Train from `state.step` to the last step, or until `patience` validations brought no better score.

    Batch number `step` and the learning rate are functions of the step, so going on from a checkpoint is the same
    computation as never having stopped: on a CPU, with the same number of threads, to the last bit.

    Parameters
    ----------
    state : TrainingState
        Changed in place; `state.best` are the weights to keep.
    load_batches : callable
        From a first step to the batches from there on.
    loss_function, validate : callable
        See `LossFunction` and `Validation`; only the main process validates.
    schedule : Schedule
    checkpoints : CheckpointFolder
        Written every `checkpoint_every` steps and when asked to stop.
    accelerator : Accelerator
        Its precision holds for the network's forward pass.
    logger : MetricsLogger

    Raises
    ------
    TrainingError
        If the loss or its gradient is not finite (the last checkpoint stays), or on SIGTERM or SIGINT (one is written).
    """
    network, optimiser = accelerator.prepare(state.network, state.optimiser)
    network.train()
    batches = iter(load_batches(state.step))
    with _stop_signal() as stop, progress_bar() as bar:
        task = bar.add_task("train", total=schedule.steps, completed=state.step, note="")
        while state.step < schedule.steps and state.misses < schedule.patience:
            batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in next(batches).items()}
            rate = schedule.rate(state.step)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            total, terms = loss_function(network, batch)
            accelerator.backward(total)
            norm = accelerator.clip_grad_norm_(network.parameters(), schedule.gradient_clip)
            names = ["loss", *terms, "gradient_norm"]
            values = torch.stack([total.detach(), *terms.values(), norm]).tolist()
            _require_finite(dict(zip(names, values, strict=True)), state.step)
            optimiser.step()
            state.average(schedule.averaging(state.step))
            state.step += 1
            for name, value in zip(names, values, strict=True):
                state.sums[name] = state.sums.get(name, 0.0) + value
            if state.step % schedule.log_every == 0:
                row = {f"train.{name}": value / schedule.log_every for name, value in state.sums.items()}
                state.sums = {}
                state.history.append({"step": state.step, **row, "train.learning_rate": rate})
                logger.log_metrics({**row, "train.learning_rate": rate}, step=state.step)
                bar.update(task, note=f"loss {row['train.loss']:.4f}")
            if state.step % schedule.validate_every == 0 or state.step == schedule.steps:
                bar.update(task, note="validating")
                _validate(state, validate, accelerator, logger)
                console.print(" ".join(f"{name} {value:.5g}" for name, value in state.validations[-1].items()))
            bar.update(task, completed=state.step)
            is_stopped = _is_any_stopped(stop, accelerator)
            is_due = state.step % schedule.checkpoint_every == 0 or state.step == schedule.steps
            if (is_due or is_stopped) and accelerator.is_main_process:
                checkpoints.save(state.step, state.to_checkpoint(accelerator.mixed_precision))
            if is_stopped:
                accelerator.wait_for_everyone()  # a process that ends early may have the launcher end the others
                reason = stop[0] if stop else "a signal to another process"
                raise TrainingError(
                    f"stopped by {reason} at step {state.step} of {schedule.steps}; run it again to go on"
                )


def _is_any_stopped(received: list[str], accelerator: Accelerator) -> bool:
    """Tell whether any process received a signal, so that all end after the same step and none waits for another."""
    if received:
        accelerator.set_trigger()
    return accelerator.check_trigger()


def _validate(state: TrainingState, validate: Validation, accelerator: Accelerator, logger: MetricsLogger) -> None:
    """Validate the averaged network on the main process and tell the others its score."""
    outcome: list = [None]
    if accelerator.is_main_process:
        outcome = [validate(state.averaged, state.step)]
        logger.log_metrics(outcome[0][1], step=state.step)
    score, metrics = broadcast_object_list(outcome)[0]
    state.rank(score)
    state.validations.append({"step": state.step, **metrics})


def _require_finite(values: dict[str, float], step: int) -> None:
    """Stop before a value that is not finite reaches the weights."""
    if not all(torch.isfinite(torch.tensor(value)) for value in values.values()):
        raise TrainingError(
            f"step {step}: expected a finite loss; got {values}; the last checkpoint is good:"
            " lower its learning_rate or gradient_clip in params.yaml"
        )


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
