import numpy as np
import pytest

from bmenet.config import MotionConfig
from bmenet.config.base import CountRange
from bmenet.degradation import motion
from bmenet.restoration.known_motion import undo_motion
from bmenet.runtime.seeding import generator

MOTION = MotionConfig(
    max_rotation_deg=3, max_translation_mm=3, moves=CountRange(low=2, high=4), protected_centre_fraction=0.04
)


def error(volume, clean) -> float:
    return float(np.sqrt(np.mean((volume.data - clean.data) ** 2)))


def moving(clean, draw: int):
    parameters = motion.draw(MOTION, clean, generator(1, "known", draw))
    return clean.with_data(np.abs(motion.apply(clean, 1.0, parameters)).astype(np.float32)), parameters


@pytest.mark.parametrize("draw", range(3))
def test_with_the_true_poses_a_good_part_of_what_motion_added_goes(phantom, draw):
    scan, parameters = moving(phantom, draw)
    assert error(undo_motion(scan, parameters), phantom) < 0.7 * error(scan, phantom)


def test_every_iteration_brings_the_scan_nearer_to_the_head_at_rest(phantom):
    scan, parameters = moving(phantom, 0)
    errors = [error(undo_motion(scan, parameters, count), phantom) for count in (0, 1, 2, 4)]
    assert errors == sorted(errors, reverse=True)


def test_with_the_poses_of_another_head_it_gets_worse(phantom):
    scan, _ = moving(phantom, 0)
    _, others = moving(phantom, 1)
    assert error(undo_motion(scan, others), phantom) > error(scan, phantom)


@pytest.mark.parametrize("scale", [1e-4, 4000])
def test_the_scale_of_intensities_does_not_matter(phantom, scale):
    scan, parameters = moving(phantom, 0)
    scaled = undo_motion(scan.with_data(scan.data * np.float32(scale)), parameters, 2)
    np.testing.assert_allclose(scaled.data / scale, undo_motion(scan, parameters, 2).data, atol=1e-4)


def test_a_head_that_lay_still_stays_as_it_is(phantom):
    still = {"phase_encode_axis": 1, "poses": []}
    assert undo_motion(phantom, still) is phantom
