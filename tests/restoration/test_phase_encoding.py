"""The air of a scan tells along which axis motion spread."""

import nibabel as nib
import numpy as np
import pytest

from bmenet.degradation import apply
from bmenet.imaging.scan import Scan
from bmenet.imaging.volume import Volume
from bmenet.restoration.phase_encoding import USUAL, find_phase_encoding, phase_encoding_of

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
    found = find_phase_encoding(moved(phantom, axis, sigma), 4)
    assert (found.axis, found.source) == (axis, "air")
    assert found.confidence > 0.5


def test_a_scale_changes_nothing_and_an_empty_background_tells_nothing(phantom: Volume) -> None:
    ghosted = moved(phantom, 2, 0.01)
    assert find_phase_encoding(1000 * ghosted, 4).axis == 2
    assert find_phase_encoding(np.where(phantom.data > 0, ghosted, 0), 4) == (USUAL, "usual", 0.0)


@pytest.mark.parametrize(("told", "axis"), [(0, 2), (1, 0), (2, 1)])
def test_a_header_is_believed_and_its_axis_is_turned_as_the_scan_is(phantom: Volume, told: int, axis: int) -> None:
    turned = np.eye(4)
    turned[:3, :3] = 4 * np.eye(3)[[1, 2, 0]]  # the first axis of the array runs along z
    scan = Scan(
        Volume(phantom.data, turned), phantom.data.shape, nib.Nifti1Header(), np.dtype("f4"), phase_encode_axis=told
    )
    assert phase_encoding_of(scan, moved(phantom, 2, 0.01), 4, np.eye(4)) == (axis, "header", 1.0)
    lying = np.eye(4)
    lying[:3, :3] = np.eye(3)[[1, 2, 0]]  # the alignment turns x to z, y to x, z to y
    assert phase_encoding_of(scan, moved(phantom, 2, 0.01), 4, lying).axis == (2, 0, 1)[axis]
