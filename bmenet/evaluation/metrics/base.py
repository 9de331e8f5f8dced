"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A measure of a restored volume against the clean one.

    Parameters
    ----------
    function : callable
        ``function(restored, clean, region) -> float`` on float32 arrays of shape (X, Y, Z) with unit intensities;
        `region` is a boolean array of that shape, or None for the whole grid.
    inside_brain : bool
        Whether only the voxels of the brain mask count. A zero background flatters measures of the whole grid.
    lower_is_better : bool
    """

    function: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    inside_brain: bool = False
    lower_is_better: bool = False

    def __call__(self, restored: np.ndarray, clean: np.ndarray, brain_mask: np.ndarray) -> float:
        """Measure over the whole grid or, where `inside_brain`, inside `brain_mask`."""
        return self.function(restored, clean, brain_mask if self.inside_brain else None)
