import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bmenet.runtime.errors import TrainingError
from bmenet.tracking import NullLogger
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.loop import train
from bmenet.training.engine.schedule import Schedule
from bmenet.training.engine.state import TrainingState


class Recorder(NullLogger):
    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(values)))


class Training:
    """A line fitted to points, with every part of a real training."""

    def __init__(self, folder: Path, **changes: float) -> None:
        numbers = {
            "steps": 20, "learning_rate": 0.1, "warmup_steps": 2, "weight_decay": 0.0, "gradient_clip": 10.0,
            "ema_decay": 0.5, "validate_every": 5, "patience": 10, "checkpoint_every": 4, "log_every": 5,
        } | changes  # fmt: skip
        self.schedule = Schedule(**numbers)
        self.checkpoints = CheckpointFolder(folder / "checkpoints", "signature")
        self.logger = Recorder()
        self.scores: list[float] = []
        torch.manual_seed(0)
        self.state = TrainingState.start(nn.Linear(1, 1), self.schedule)

    def batches(self, start: int) -> Iterator[dict[str, Tensor]]:
        for step in range(start, self.schedule.steps):
            x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * step
            yield {"x": x, "y": 2 * x + 1}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        error = (network(batch["x"]) - batch["y"]).square().mean()
        return error, {"error": error.detach()}

    def validate(self, network: nn.Module, step: int) -> tuple[float, dict[str, float]]:
        score = self.scores.pop(0) if self.scores else float(step)
        return score, {"val.score": score}

    def run(self) -> None:
        accelerator = Accelerator(mixed_precision="no", cpu=True)
        train(
            self.state,
            self.batches,
            self.loss,
            self.validate,
            self.schedule,
            self.checkpoints,
            accelerator,
            self.logger,
        )

    def resume(self) -> None:
        checkpoint = self.checkpoints.load()
        assert checkpoint is not None
        self.state.restore(checkpoint)
        self.run()


def test_training_lowers_the_loss_and_records_it(tmp_path: Path) -> None:
    training = Training(tmp_path, steps=60)
    training.run()
    losses = [row["train.loss"] for row in training.state.history]
    assert losses[-1] < 0.2 * losses[0]
    assert [row["step"] for row in training.state.history] == list(range(5, 61, 5))
    assert {step for step, _ in training.logger.rows} == set(range(5, 61, 5))
    assert training.state.validations[0] == {"step": 5, "val.score": 5.0}


def test_best_weights_are_those_of_the_best_validation(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.scores = [1.0, 3.0, 2.0, 2.5]
    training.run()
    assert (training.state.best_step, training.state.best_score) == (10, 3.0)
    assert training.state.misses == 2
    assert not torch.equal(training.state.best["weight"], training.state.averaged.state_dict()["weight"])


def test_averaged_weights_follow_the_network_slowly(tmp_path: Path) -> None:
    training = Training(tmp_path, steps=1)
    before = training.state.network.weight.clone()
    training.run()
    decay = training.schedule.averaging(0)
    expected = decay * before + (1 - decay) * training.state.network.weight
    torch.testing.assert_close(training.state.averaged.weight, expected.detach())


def test_averaged_weights_have_the_network_s_buffers(tmp_path: Path) -> None:
    training = Training(tmp_path, steps=1)
    for network in (training.state.network, training.state.averaged):
        network.register_buffer("seen", torch.zeros(2))
    training.state.network.seen += 3
    training.state.average(0.9)
    assert training.state.averaged.seen.tolist() == [3, 3]


def test_optimiser_follows_the_schedule(tmp_path: Path) -> None:
    training = Training(tmp_path, steps=6)
    training.run()
    group = training.state.optimiser.param_groups[0]
    assert group["lr"] == training.schedule.rate(5) != training.schedule.learning_rate


def test_gradient_is_clipped_to_the_bound(tmp_path: Path) -> None:
    training = Training(tmp_path, steps=1, gradient_clip=0.25)
    training.run()
    gradient = torch.cat([parameter.grad.flatten() for parameter in training.state.network.parameters()])
    assert gradient.norm().item() == pytest.approx(0.25, rel=1e-4)


def test_training_stops_when_patience_ends(tmp_path: Path) -> None:
    training = Training(tmp_path, patience=2)
    training.scores = [3.0, 2.0, 1.0, 9.0]
    training.run()
    assert training.state.step == 15
    assert training.state.best_step == 5


def test_resumed_training_is_the_unbroken_one(tmp_path: Path) -> None:
    straight = Training(tmp_path / "straight")
    straight.run()
    broken = Training(tmp_path / "broken")
    loss = broken.loss

    def failing(network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if broken.state.step == 11:
            raise KeyboardInterrupt
        return loss(network, batch)

    broken.loss = failing
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    resumed = Training(tmp_path / "broken")
    resumed.resume()
    expected, got = (training.state.to_checkpoint("no") for training in (straight, resumed))
    assert got.scalars == expected.scalars
    assert got.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(got.tensors[name], tensor) for name, tensor in expected.tensors.items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_writes_a_checkpoint_then_stops(tmp_path: Path, number: signal.Signals) -> None:
    training = Training(tmp_path)
    loss = training.loss

    def interrupting(network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if training.state.step == 6:
            os.kill(os.getpid(), number)
        return loss(network, batch)

    training.loss = interrupting
    previous = signal.getsignal(number)
    with pytest.raises(TrainingError, match=f"stopped by {number.name} at step 7 of 20"):
        training.run()
    assert signal.getsignal(number) is previous
    checkpoint = training.checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.scalars["step"] == 7


def test_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    training = Training(tmp_path)
    loss = training.loss

    def exploding(network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        total, terms = loss(network, batch)
        return (total * float("nan") if training.state.step == 6 else total), terms

    training.loss = exploding
    with pytest.raises(TrainingError, match="step 6: expected a finite loss"):
        training.run()
    checkpoint = training.checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.scalars["step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.tensors.values())
