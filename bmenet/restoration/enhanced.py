"""What comes of enhancing a scan, and how it is told while the work goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.scan import Scan
from bmenet.registration import Registration
from bmenet.restoration.field import SIZE_ERROR
from bmenet.restoration.phase_encoding import PhaseEncoding

Space = Literal["native", "template"]

Progress = Callable[[str, float], None]
"""Called with the name of a step and the fraction of it that is done, in [0, 1]."""


@dataclass(frozen=True)
class Enhanced:
    """An enhanced scan, and how it came about.

    Parameters
    ----------
    scan : Scan
        On the input's grid and intensity scale, or on the standard grid.
    registration : Registration
        Native to standard space.
    brain : Brain
        Of the input, on the grid of `scan`.
    is_in_standard_space : bool
        Whether the input lay on the standard grid already, so that nothing was interpolated.
    timings : dict
        Step to wall-clock seconds.
    std : Scan, optional
        The second stage's standard deviation over samples, where there were several; as `scan`.
    strength : float
        How much of the restoration was applied, in [0, 1]: little to a scan that needs little.
    field_size : float
        Of the coil field that the networks see in the scan's brain, (high - low) / (high + low): see `field_size`.
    too_bright_litres : float
        Of the brain that is brighter than anything in training, and was left as it was but for its field.
    phase_encoding : PhaseEncoding, optional
        Along which axis of the standard grid motion was taken to have spread; None where the networks do not ask.
    """

    scan: Scan
    registration: Registration
    brain: Brain
    is_in_standard_space: bool
    timings: dict[str, float]
    std: Scan | None = None
    strength: float = 1.0
    field_size: float = 0.0
    too_bright_litres: float = 0.0
    phase_encoding: PhaseEncoding | None = None

    @property
    def is_skull_stripped(self) -> bool:
        """Whether the input held a brain alone."""
        return self.brain.is_skull_stripped

    def told(self) -> dict[str, object]:
        """Return what a sidecar tells of it."""
        encoding = self.phase_encoding
        return {
            "is_skull_stripped": self.is_skull_stripped,
            "similarity_to_template": round(self.registration.similarity, 4),
            "applied": round(self.strength, 4),
            "field_size": round(self.field_size, 4),
            "field_size_error": SIZE_ERROR,
            "too_bright_ml": round(1000 * self.too_bright_litres, 2),
            "phase_encode_axis": None if encoding is None else encoding.name,
            "phase_encode_axis_from": None if encoding is None else encoding.source,
            "phase_encode_axis_confidence": None if encoding is None else round(encoding.confidence, 2),
            "seconds": {step: round(seconds, 2) for step, seconds in self.timings.items()},
        }


@dataclass(frozen=True)
class Steps:
    """Time steps, by name in wall-clock seconds, and report their progress."""

    progress: Progress | None = None
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run one step."""
        self.report(name, 0.0)
        start = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - start
        self.report(name, 1.0)

    def report(self, name: str, fraction: float) -> None:
        """Tell how much of a step is done."""
        if self.progress is not None:
            self.progress(name, fraction)
