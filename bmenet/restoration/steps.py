"""Steps of a longer piece of work: timed, and told to whoever watches."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float], None]
"""Called with the name of a step and the fraction of it that is done, in [0, 1]."""


class Steps:
    """Time steps and report their progress.

    Parameters
    ----------
    progress : callable, optional
        Nothing is reported without it.

    Attributes
    ----------
    timings : dict
        Name of a finished step to wall-clock seconds.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.timings: dict[str, float] = {}
        self._progress = progress

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
        if self._progress is not None:
            self._progress(name, fraction)
