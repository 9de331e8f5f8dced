"""Run by `test_distributed`, once a process: fit a line several times, and print as JSON how each training went."""

import io
import json
import os
import signal
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path

from torch import Tensor, nn

from bmenet.runtime.errors import TrainingError
from bmenet.training.engine.checkpoint import Checkpoint, CheckpointFolder
from bmenet.training.engine.task import Loss
from bmenet.training.engine.trainer import Trainer
from tests.training.line import LineTask

RANK = int(os.environ["RANK"])


class WatchedFolder(CheckpointFolder):
    """Notes the order in which the processes load; the main one takes its time."""

    def load(self, may_clear: bool = True) -> Checkpoint | None:
        time.sleep(0 if RANK else 0.5)
        with open(self.folder.with_suffix(".order"), "a") as order:
            order.write(str(RANK))
        return super().load(may_clear)


class SignalledTask(LineTask):
    """Gets a SIGTERM in its seventh step, if this process is the one to get it."""

    signalled_rank: int | None = None
    calls = 0

    @property
    def checkpoints(self) -> CheckpointFolder:
        return WatchedFolder(self.folder, self.made_from)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Loss:
        self.calls += 1
        if (RANK, self.calls) == (self.signalled_rank, 7):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(network, batch)


def main(folder: Path, trainings: list[tuple[str, int | None]]) -> None:
    """Run trainings, each a signature and the process that gets a SIGTERM, one after the other in one folder."""
    for signature, signalled_rank in trainings:
        task, said = SignalledTask(folder, signature), io.StringIO()
        task.signalled_rank = signalled_rank
        outcome: list[float] | str
        with redirect_stderr(said):
            try:
                outcome = [parameter.item() for parameter in Trainer(task).train().network.parameters()]
            except TrainingError as error:
                outcome = str(error)
        saved = sorted(path.stem for path in folder.glob("*.json"))
        order = folder.with_suffix(".order").read_text()
        print(
            json.dumps({"outcome": outcome, "said": " ".join(said.getvalue().split()), "saved": saved, "order": order})
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
