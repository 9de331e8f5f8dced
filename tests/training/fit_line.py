"""Run by `test_distributed`, once a process: fit a line several times, and print as JSON how each training went."""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bmenet.runtime.errors import TrainingError
from bmenet.tracking import NullLogger
from bmenet.training.engine.checkpoint import Checkpoint, CheckpointFolder
from bmenet.training.engine.schedule import Schedule
from bmenet.training.engine.session import Task, train_network

RANK = int(os.environ["RANK"])
SCHEDULE = Schedule(
    steps=20, learning_rate=0.1, warmup_steps=2, weight_decay=0.0, gradient_clip=10.0, ema_decay=0.5,
    validate_every=5, patience=10, checkpoint_every=4, log_every=5,
)  # fmt: skip


class WatchedFolder(CheckpointFolder):
    """Notes the order in which the processes load; the main one takes its time."""

    def load(self, may_clear: bool = True) -> Checkpoint | None:
        """Load as ever."""
        time.sleep(0 if RANK else 0.5)
        with open(self.folder.with_suffix(".order"), "a") as order:
            order.write(str(RANK))
        return super().load(may_clear)


def fit(checkpoints: CheckpointFolder, signalled_rank: int | None) -> list[float]:
    """Train, with a SIGTERM to one process at step 6; return the fitted line."""

    def load_batches(start: int, _: Accelerator) -> Iterator[dict[str, Tensor]]:
        for step in range(start, SCHEDULE.steps):
            if (RANK, step) == (signalled_rank, 6):
                os.kill(os.getpid(), signal.SIGTERM)
            x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * step + RANK
            yield {"x": x, "y": 2 * x + 1}

    def loss(network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return (network(batch["x"]) - batch["y"]).square().mean(), {}

    task = Task(
        name="line",
        build=lambda: nn.Linear(1, 1),
        load_batches=load_batches,
        objective=lambda _: loss,
        validation=lambda _: lambda _network, step: (float(step), {"val.score": float(step)}),
    )
    trained = train_network(task, SCHEDULE, "fp32", 1, checkpoints, NullLogger())
    return [parameter.item() for parameter in trained.network.parameters()]


def main(folder: Path, trainings: list[tuple[str, int | None]]) -> None:
    """Run trainings, each a signature and the process that gets a SIGTERM, one after the other in one folder."""
    for signature, signalled_rank in trainings:
        said = io.StringIO()
        outcome: list[float] | str
        with redirect_stderr(said):
            try:
                outcome = fit(WatchedFolder(folder, signature), signalled_rank)
            except TrainingError as error:
                outcome = str(error)
        saved = sorted(path.stem for path in folder.glob("*.json"))
        order = folder.with_suffix(".order").read_text()
        print(
            json.dumps({"outcome": outcome, "said": " ".join(said.getvalue().split()), "saved": saved, "order": order})
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
