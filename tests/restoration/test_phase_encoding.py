"""The air of a scan tells along which axis motion spread."""

import numpy as np
import pytest

from bmenet.degradation import apply
from bmenet.imaging.volume import Volume
from bmenet.restoration.phase_encoding import USUAL, find_phase_encode_axis

POSES = [
    {"lines": [0, 11], "rotation_deg": [2.0, -3.0, 2.0], "translation_mm": [2.0, 3.0, -3.0]},
    {"lines": [25, 40], "rotation_deg": [-3.0, 2.0, 1.0], "translation_mm": [-3.0, -2.0, 3.0]},
]


def moved(phantom: Volume, axis: int, sigma: float) -> np.ndarray:
    motion = {"phase_encode_axis": axis, "poses": POSES}
    return apply(phantom, {"motion": motion, "noise": {"sigma": sigma, "seed": 3}}).data


@pytest.mark.parametrize("sigma", [0.001, 0.01])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ghosts_in_the_air_tell_the_axis(phantom: Volume, axis: int, sigma: float) -> None:
    assert find_phase_encode_axis(moved(phantom, axis, sigma), 4) == axis


def test_a_scale_changes_nothing_and_an_empty_background_tells_nothing(phantom: Volume) -> None:
    ghosted = moved(phantom, 2, 0.01)
    assert find_phase_encode_axis(1000 * ghosted, 4) == 2
    assert find_phase_encode_axis(np.where(phantom.data > 0, ghosted, 0), 4) == USUAL
