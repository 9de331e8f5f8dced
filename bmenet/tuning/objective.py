"""What an objective is, and what comes of a trial."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bmenet.config import Config
from bmenet.config.tune import SECONDS
from bmenet.tuning.yardstick import Yardstick

Report = Callable[[int, float], None]
"""(step, value so far); raises what ends a trial that is not worth going on with."""


@dataclass
class Outcome:
    """What the values of a trial reach on the validation cases.

    Parameters
    ----------
    gains : list of float
        The composite's gain of each case.
    cases : dict
        Case to metrics.
    seconds : list of float
        Of each volume.
    picture : dict
        Name to volume, of the first case.
    """

    gains: list[float] = field(default_factory=list)
    cases: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    picture: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, case: Yardstick, restored: np.ndarray, seconds: float) -> None:
        """Measure a restored case."""
        measured = case.measure(restored)
        self.gains.append(case.gain(measured))
        self.cases[case.name] = measured
        self.seconds.append(seconds)
        if not self.picture:
            self.picture = {"clean": case.clean.data, "given": case.given.data, "restored": restored}

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Return what Optuna is told, an objective a number: means over cases."""
        return [float(np.mean(self.seconds if name == SECONDS else self.gains)) for name in objectives]

    def means(self) -> dict[str, float]:
        """Return every metric's mean over cases, the gain's and the seconds'."""
        names = next(iter(self.cases.values()))
        metrics = {name: float(np.mean([case[name] for case in self.cases.values()])) for name in names}
        return metrics | {"gain": float(np.mean(self.gains)), SECONDS: float(np.mean(self.seconds))}


Objective = Callable[[Config, Report], Outcome]
"""From a trial's configuration to what it reaches."""
