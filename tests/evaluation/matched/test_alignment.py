import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.evaluation.matched.alignment import align_pair
from bmenet.imaging.intensity import normalise
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError
from tests.matched_heads import PREPARATION, SHIFT_MM, TURN_DEG, bright_brain, moving_head, still_head, turned_head

CONFIG = PREPARATION.registration


@pytest.fixture(scope="module")
def still():
    standard = resample(still_head().volume, PREPARATION.grid)
    return standard.with_data(normalise(np.maximum(standard.data, 0), 99.5)[0])


def brain(scan):
    return scan.volume.with_data(scan.volume.data * bright_brain(scan.volume).brain_mask)


def largest_distance_mm(found):
    """How far, anywhere in the brain, a transform is from the one that undoes the turn of `turned_head`."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", TURN_DEG, degrees=True).as_matrix()
    centre = np.array([0.0, -17.0, 5.0])
    turn[:3, 3] = centre - turn[:3, :3] @ centre + SHIFT_MM
    corners = np.array([[x, y, z, 1] for x in (-70, 70) for y in (-105, 70) for z in (-65, 80)]).T
    return np.linalg.norm(((found @ turn - np.eye(4)) @ corners)[:3], axis=0).max()


def test_align_pair_undoes_a_turn_whatever_the_receiver_gain(still):
    found = align_pair(brain(turned_head()), still, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed) < 0.3
    brighter = align_pair(brain(turned_head(gain=5 * 1.7)), still, np.eye(4), CONFIG)
    assert largest_distance_mm(brighter.moving2fixed) < 0.3
    assert found.similarity > 0.9


def test_align_pair_finds_the_pose_of_a_head_that_moved(still):
    found = align_pair(brain(moving_head(severity="moderate")), still, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed) < 3, "within what the head moved by"


def test_align_pair_finds_a_head_far_away_in_the_scanner(still):
    moved = brain(turned_head())
    far = np.eye(4)
    far[:3, 3] = (60, -80, 100)
    away = Volume(moved.data, far @ moved.affine)
    found = align_pair(away, still, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed @ far) < 0.3


def test_align_pair_refuses_a_result_that_does_not_resemble_the_still_scan(still, monkeypatch):
    upside_down = np.diag([1.0, -1.0, -1.0, 1.0])
    monkeypatch.setitem(BACKENDS, "ants", lambda moving, fixed, start: upside_down @ start)
    with pytest.raises(AlignmentError, match=r"moved scan with the still one of at least 0\.5 .*; got -?0\.\d\d;"):
        align_pair(brain(turned_head()), still, np.eye(4), CONFIG)
