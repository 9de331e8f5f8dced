import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.runtime.errors import TrainingError
from bmenet.runtime.logger import NullLogger
from bmenet.training.engine import checkpoint
from bmenet.training.engine.state import Schedule
from bmenet.training.engine.task import Loss, Validation
from bmenet.training.engine.trainer import Trainer, clear_checkpoints, write_trained
from tests.training.line import LineTask


class Recorder(NullLogger):
    def __init__(self) -> None:
        self.steps: list[int | None] = []
        self.names: list[str] = []

    def log_metrics(self, values, step=None) -> None:
        self.steps.append(step)

    def log_figure(self, figure, name) -> None:
        self.names.append(name)

    def log_artifact(self, path, folder="") -> None:
        self.names.append(folder)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Trainer]:
    """Return a function that makes the trainer of a line; `before_loss` is called with the trainer in every step."""

    def make(before_loss: Callable = lambda trainer: None, scores: tuple[float, ...] = (), **changes) -> Trainer:
        class Watched(LineTask):
            schedule = replace(LineTask.schedule, **changes)

            def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Loss:
                gain = before_loss(trainer)
                total, terms = super().loss(network, batch)
                return total * (1 if gain is None else gain), terms

        trainer = Trainer(Watched(tmp_path / "checkpoints", scores=scores), Recorder())
        return trainer

    return make


def saved_step(trainer: Trainer) -> int:
    found = trainer.checkpoints.load()
    assert found is not None
    assert all(torch.isfinite(tensor).all() for tensor in found.tensors.values())
    return found.scalars["step"]


def test_rate_warms_up_linearly_to_its_peak_and_ends_near_zero_and_averaging_is_short_sighted_at_first() -> None:
    schedule = Schedule(
        steps=100, learning_rate=1e-3, warmup_steps=9, weight_decay=0, gradient_clip=1, ema_decay=0.99,
        validate_every=10, patience=3, checkpoint_every=10, log_every=10,
    )  # fmt: skip
    rates = [schedule.rate(step) for step in range(100)]
    assert [rates[0], rates[4], rates[9]] == pytest.approx([1e-4, 5e-4, 1e-3])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 1e-5
    assert schedule.averaging(0) == pytest.approx(0.1)
    assert schedule.averaging(10_000) == 0.99


def test_training_lowers_the_loss_and_records_it(make) -> None:
    trainer = make(steps=60)
    trained = trainer.train()
    losses = [row["train.loss"] for row in trained.history]
    assert losses[-1] < 0.2 * losses[0]
    assert [row["step"] for row in trained.history] == list(range(5, 61, 5))
    assert set(trainer.logger.steps) == set(range(5, 61, 5))
    assert trained.validations[0] == {"step": 5, "val.score": 5.0}


def test_best_weights_are_those_of_the_best_validation_and_patience_ends_the_training(make) -> None:
    trainer = make(scores=(1.0, 3.0, 2.0, 2.5))
    trained = trainer.train()
    assert trained.metrics == {"val.score": 3.0, "best_step": 10, "steps": 20}
    assert trainer.state.misses == 2
    assert torch.equal(trained.network.weight, trainer.state.best["weight"])
    assert not torch.equal(trained.network.weight, trainer.state.averaged.weight)
    clear_checkpoints(trainer.task)
    trained = make(scores=(3.0, 2.0, 1.0, 9.0), patience=2).train()
    assert trained.metrics == {"val.score": 3.0, "best_step": 5, "steps": 15}


def test_averaged_weights_follow_the_network_slowly_and_buffers_at_once(make) -> None:
    before: list[Tensor] = []
    trainer = make(lambda trainer: before.append(trainer.state.network.weight.detach().clone()), steps=1)
    trainer.train()
    decay = trainer.schedule.averaging(0)
    expected = decay * before[0] + (1 - decay) * trainer.state.network.weight
    torch.testing.assert_close(trainer.state.averaged.weight, expected.detach())
    for place, network in enumerate((trainer.state.averaged, trainer.state.network)):
        network.register_buffer("seen", torch.full((2,), 3.0 * place))
    trainer.state.average(0.9)
    assert trainer.state.averaged.seen.tolist() == [3, 3]


def test_optimiser_follows_the_schedule_and_gradients_are_clipped(make) -> None:
    trainer = make(steps=6, gradient_clip=0.25)
    trainer.train()
    group = trainer.state.optimiser.param_groups[0]
    assert group["lr"] == trainer.schedule.rate(5) != trainer.schedule.learning_rate
    gradient = torch.cat([parameter.grad.flatten() for parameter in trainer.state.network.parameters()])
    assert gradient.norm().item() == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_writes_a_checkpoint_then_stops(make, number: signal.Signals) -> None:
    trainer = make(lambda trainer: os.kill(os.getpid(), number) if trainer.state.step == 6 else None)
    previous = signal.getsignal(number)
    with pytest.raises(TrainingError, match=f"stopped by {number.name} at step 7 of 20"):
        trainer.train()
    assert signal.getsignal(number) is previous
    assert saved_step(trainer) == 7


def test_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(make) -> None:
    trainer = make(lambda trainer: float("nan") if trainer.state.step == 6 else None)
    with pytest.raises(TrainingError, match="step 6: expected a finite loss"):
        trainer.train()
    assert saved_step(trainer) == 4


def test_full_disk_keeps_the_last_checkpoint_whole(make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(tensors, path, metadata) -> None:
        if "00000008" in str(path):
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, path, metadata)

    save_file = checkpoint.save_file
    monkeypatch.setattr(checkpoint, "save_file", fill)
    trainer = make()
    with pytest.raises(OSError, match="No space left"):
        trainer.train()
    assert saved_step(trainer) == 4
    assert not [path for path in trainer.checkpoints.folder.iterdir() if "step-00000004" not in path.name]


def test_weights_and_reports_are_written(tmp_path: Path, config: Config, make) -> None:
    class Pictured(LineTask):
        parents = ("parent",)

        def validate(self, network: nn.Module, step: int) -> Validation:
            return Validation(float(step), {"val.score": float(step)}, Figure())

        def parent_digests(self) -> dict[str, str]:
            return {"parent": "digest"}

    task, logger = Pictured(tmp_path / "checkpoints"), Recorder()
    task.config, task.layout = config, Layout(tmp_path)
    trained = Trainer(task, logger).train()
    write_trained(task, trained, logger)
    spec = json.loads((tmp_path / "weights" / "line" / "model.json").read_text())
    assert spec["parents"] == {"parent": "digest"}
    assert spec["lineage"] == {"profile": config.profile, "seed": config.seed, **trained.metrics}
    report = Layout(tmp_path).report("train_line")
    assert json.loads((report / "metrics.json").read_text()) == trained.metrics
    rows = {name: (report / f"{name}.csv").read_text().splitlines() for name in ("history", "validation")}
    assert rows["validation"] == ["step,val.score", "5,5.0", "10,10.0", "15,15.0", "20,20.0"]
    assert len(rows["history"]) == 5
    assert logger.names == [f"validation/step-{step:08d}.png" for step in (5, 10, 15, 20)] + ["weights", "reports"]
