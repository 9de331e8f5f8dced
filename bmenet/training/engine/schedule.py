"""When things happen in a training, and how fast it learns: pure functions of the step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The numbers of an optimisation that do not depend on what is trained.

    Parameters
    ----------
    learning_rate : float
        Its peak.
    ema_decay : float
        Of the averaged weights, in [0, 1).
    validate_every, checkpoint_every, log_every : int
        In steps.
    patience : int
        Validations without a better score before training stops.
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
