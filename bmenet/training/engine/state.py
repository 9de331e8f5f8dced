"""Everything that a training carries from one step to the next, and the schedule of its steps."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bmenet.training.engine.checkpoint import Checkpoint

_BETAS = (0.9, 0.99)
"""AdamW's; a second moment that remembers 1000 steps made norm-free networks diverge when gradients grew suddenly."""

_COUNTERS = ("step", "best_score", "best_step", "misses", "sums", "history", "validations")


@dataclass(frozen=True)
class Schedule:
    """The numbers of an optimisation that do not depend on what is trained.

    `learning_rate` is the peak; `ema_decay` of the averaged weights lies in [0, 1); intervals are in steps; `patience`
    is the number of validations without a better score before training stops.
    """

    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    gradient_clip: float
    ema_decay: float
    validate_every: int
    patience: int
    checkpoint_every: int
    log_every: int

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0: linear warm-up, then a half cosine to zero."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / (self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def averaging(self, step: int) -> float:
        """Return the decay of the averaged weights after step `step`: short-sighted at first, then `ema_decay`."""
        return min(self.ema_decay, (1 + step) / (10 + step))


@dataclass
class TrainingState:
    """The network, its running average, the best average so far, the optimiser, and the counters.

    `best_score` is that of `best`, at step `best_step`, higher is better; `misses` are the validations since then;
    `sums` are loss terms since the last row of `history`; `history` has a row for every log.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    averaged: nn.Module
    best: dict[str, Tensor]
    step: int = 0
    best_score: float | None = None
    best_step: int = 0
    misses: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    validations: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, network: nn.Module, schedule: Schedule) -> "TrainingState":
        """Return the state before the first step."""
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=schedule.learning_rate,
            betas=_BETAS,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        averaged = copy.deepcopy(network).requires_grad_(False).eval()
        return cls(network, optimiser, averaged, _snapshot(averaged))

    def average(self, decay: float) -> None:
        """Move the averaged weights towards the network's by ``1 - decay``; buffers are taken over."""
        with torch.no_grad():
            for averaged, current in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                averaged.copy_(current)
            torch._foreach_lerp_(list(self.averaged.parameters()), list(self.network.parameters()), 1 - decay)

    def rank(self, score: float) -> None:
        """Note a validation's score; keep the averaged weights if it is the best so far."""
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step, self.misses = score, self.step, 0
            self.best = _snapshot(self.averaged)
        else:
            self.misses += 1

    def to_checkpoint(self, precision: str) -> Checkpoint:
        """Return the state as tensors and scalars."""
        groups = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "best": self.best,
            "optimiser": {
                f"{index}.{name}": value
                for index, moments in self.optimiser.state_dict()["state"].items()
                for name, value in moments.items()
            },
        }
        tensors = {
            f"{group}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
            for group, members in groups.items()
            for name, tensor in members.items()
        }
        scalars: dict[str, Any] = {name: getattr(self, name) for name in _COUNTERS}
        return Checkpoint(tensors, {**scalars, "precision": precision})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over what `to_checkpoint` returned."""
        groups: dict[str, dict[str, Tensor]] = {}
        for key, tensor in checkpoint.tensors.items():
            group, name = key.split(".", 1)
            groups.setdefault(group, {})[name] = tensor
        self.network.load_state_dict(groups["network"])
        self.averaged.load_state_dict(groups["averaged"])
        self.best = groups["best"]
        parameters = list(self.network.parameters())
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in groups.get("optimiser", {}).items():
            index, name = key.split(".", 1)
            # The fused AdamW walks memory in order: moments must lie as their weights do (channels last).
            is_moment = tensor.shape == parameters[int(index)].shape
            value = torch.empty_like(parameters[int(index)]).copy_(tensor) if is_moment else tensor
            moments.setdefault(int(index), {})[name] = value.detach()
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        for name in _COUNTERS:
            setattr(self, name, checkpoint.scalars[name])


def _snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}
