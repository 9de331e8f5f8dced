"""What comes of enhancing a scan."""

from dataclasses import dataclass
from typing import Literal

from bmenet.imaging.scan import Scan
from bmenet.registration import Registration

Space = Literal["native", "template"]


@dataclass(frozen=True)
class Enhanced:
    """An enhanced scan, and how it came about.

    Parameters
    ----------
    scan : Scan
        On the input's grid and intensity scale, or on the standard grid.
    registration : Registration
        Native to standard space.
    is_skull_stripped : bool
        Whether the input held a brain alone.
    is_in_standard_space : bool
        Whether the input lay on the standard grid already, so that nothing was interpolated.
    timings : dict
        Step to wall-clock seconds.
    std : Scan, optional
        The second stage's standard deviation over samples, where there were several; as `scan`.
    strength : float
        How much of the restoration was applied, in [0, 1]: little to a scan that needs little.
    """

    scan: Scan
    registration: Registration
    is_skull_stripped: bool
    is_in_standard_space: bool
    timings: dict[str, float]
    std: Scan | None = None
    strength: float = 1.0
