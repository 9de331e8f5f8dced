"""The smallest task: a line is fitted to points, with every part of a real training."""

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bmenet.networks.weights import Spec
from bmenet.training.engine.checkpoint import CheckpointFolder
from bmenet.training.engine.state import Schedule
from bmenet.training.engine.task import Loss, Task, Validation


class Points(Dataset):
    """Points of ``y = 2 x + 1``; each batch lies a little further to the right."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x = torch.linspace(-1, 1, 8)[:, None] + 0.01 * index
        return {"x": x, "y": 2 * x + 1}


class LineTask(Task):
    kind, sections = "line", ()
    precision, workers = "fp32", 0
    schedule = Schedule(
        steps=20, learning_rate=0.1, warmup_steps=2, weight_decay=0.0, gradient_clip=10.0, ema_decay=0.5,
        validate_every=5, patience=10, checkpoint_every=4, log_every=5,
    )  # fmt: skip

    def __init__(self, folder: Path, signature: str = "signature", scores: tuple[float, ...] = ()) -> None:
        self.config = SimpleNamespace(seed=1)  # type: ignore[assignment]
        self.folder, self.made_from, self.scores = folder, signature, scores

    @property
    def checkpoints(self) -> CheckpointFolder:
        return CheckpointFolder(self.folder, self.made_from)

    def prepare(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def network(self) -> nn.Module:
        return nn.Linear(1, 1)

    def batches(self) -> Points:
        return Points()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Loss:
        error = (network(batch["x"]) - batch["y"]).square().mean()
        return error, {"error": error.detach()}

    def validate(self, network: nn.Module, step: int) -> Validation:
        validated = range(self.schedule.validate_every, self.schedule.steps + 1, self.schedule.validate_every)
        score = dict(zip(validated, self.scores, strict=False)).get(step, float(step))
        return Validation(score, {"val.score": score})

    def spec(self, network: nn.Module) -> Spec:
        return {}
