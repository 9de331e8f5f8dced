"""What a segmenter is, and what it returns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import BMENetError


class SegmentationError(BMENetError):
    """A segmentation tool is not installed, or failed."""


@dataclass(frozen=True)
class Segmentation:
    """The structures of a brain, as numbers; 0 where there is none, and each in one region at most.

    The grid of `labels`, integers of shape (X, Y, Z), may be the tool's own; volumes of one grid are segmented on one.
    """

    labels: np.ndarray
    regions: dict[str, tuple[int, ...]]


class Segmenter(Protocol):
    """A segmentation tool; constructed with the folder where it may keep results."""

    def __init__(self, folder: Path) -> None: ...

    @staticmethod
    def require() -> None:
        """Raise a SegmentationError that says what to install, if the tool is not there."""

    def fingerprint(self) -> str:
        """Return what names the tool, its version and its settings: equal ones give equal segmentations."""

    def segment(self, volume: Volume, brain_mask: np.ndarray) -> Segmentation:
        """Segment the brain of a T1-weighted volume of any intensity scale.

        Raises
        ------
        VolumeError
            If the volume cannot be segmented.
        SegmentationError
            If the tool is not installed, or fails.
        """
