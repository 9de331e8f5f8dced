import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.evaluation.matched import volumes
from bmenet.evaluation.matched.volumes import align_pair, prepare_moved, prepare_still
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.evaluation.metrics.measure import matched_gain
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError, Registration
from tests.matched_heads import (
    REGISTRATION,
    SHIFT_MM,
    TURN_DEG,
    bright_brain,
    identity,
    moving_head,
    still_head,
    turned_head,
)

GRID = standard_grid(4)


@pytest.fixture(scope="module", autouse=True)
def stand_ins():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volumes, "find_brain", bright_brain)
        patch.setattr(volumes, "register", identity)
        yield


@pytest.fixture(scope="module")
def still_and_brain(stand_ins):
    return prepare_still(still_head(), 4, REGISTRATION)[:2]


@pytest.fixture
def still(still_and_brain):
    return still_and_brain[0]


def prepared(scan, still, brain_mask):
    return prepare_moved(scan, still, brain_mask, np.eye(4), REGISTRATION)


def brain_psnr(volume, still):
    brain_mask = foreground_mask(still.data)
    return psnr(matched_gain(volume.data, still.data, brain_mask) * volume.data, still.data, brain_mask)


def test_two_scans_that_differ_in_pose_and_gain_alone_agree_once_aligned_and_motion_remains(still_and_brain):
    still, inside = still_and_brain
    aligned = brain_psnr(prepared(turned_head(), still, inside), still)
    assert aligned > 35
    assert brain_psnr(resample(turned_head().volume, GRID), still) < 16, "as they lay in the scanner"
    moved = prepared(moving_head(), still, inside)
    assert brain_psnr(moved, still) < aligned - 5
    assert not moved.data[~inside].any()
    assert (moved.data[inside] > 0).mean() > 0.95


def test_whole_heads_stay_whole_and_are_laid_on_one_another_by_their_brains(still, monkeypatch):
    masks = [bright_brain(scan.volume).brain_mask for scan in (still_head(), turned_head())]
    heads = [
        scan.with_data(np.where(brain_mask, scan.volume.data, 0.5 * scan.volume.data.max()))
        for scan, brain_mask in zip((still_head(), turned_head()), masks, strict=True)
    ]
    brains = iter(masks)
    monkeypatch.setattr(volumes, "find_brain", lambda volume: Brain(next(brains), False, "deepbet"))
    seen = []
    monkeypatch.setattr(volumes, "align_pair", lambda *given: seen.append(given) or align_pair(*given))
    whole, inside, _ = prepare_still(heads[0], 4, REGISTRATION)
    assert np.count_nonzero(inside & foreground_mask(still.data)) > 0.95 * np.count_nonzero(inside)
    moved = prepared(heads[1], whole, inside)
    for volume in (whole, moved):
        assert np.mean(volume.data[~inside] > 0) > 0.5
    ((moving, fixed, *_),) = seen
    assert not fixed.data[~inside].any()
    assert not moving.data[~masks[1]].any()
    aligned = psnr(matched_gain(moved.data, whole.data, inside) * moved.data, whole.data, inside)
    assert aligned > 25


def test_the_brain_of_the_still_scan_is_what_is_registered(monkeypatch):
    seen = []
    quarter = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    monkeypatch.setattr(volumes, "register", lambda *given: seen.append(given) or Registration(quarter, 0.8, "stub"))
    scan = still_head()
    still, _, moving2fixed = prepare_still(scan, 4, REGISTRATION)
    np.testing.assert_array_equal(seen[0][0].data, brain(scan).data)
    np.testing.assert_array_equal(moving2fixed, quarter)
    as_it_lay, inside = resample(scan.volume, GRID, quarter), foreground_mask(still.data)
    assert np.corrcoef(still.data[inside], as_it_lay.data[inside])[0, 1] > 0.99


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
    for gain in (1.7, 5 * 1.7):
        found = align_pair(brain(turned_head(gain=gain)), still, np.eye(4), REGISTRATION)
        assert largest_distance_mm(found.moving2fixed) < 0.3
        assert found.similarity > 0.9


def test_align_pair_finds_a_head_that_moved_far_away_in_the_scanner(still):
    moved = brain(moving_head(severity="moderate"))
    far = np.eye(4)
    far[:3, 3] = (60, -80, 100)
    found = align_pair(Volume(moved.data, far @ moved.affine), still, np.eye(4), REGISTRATION)
    assert largest_distance_mm(found.moving2fixed @ far) < 3, "within what the head moved by"


def test_align_pair_refuses_a_result_that_does_not_resemble_the_still_scan(still, monkeypatch):
    upside_down = np.diag([1.0, -1.0, -1.0, 1.0])
    monkeypatch.setitem(BACKENDS, "ants", lambda moving, fixed, start: upside_down @ start)
    with pytest.raises(AlignmentError, match=r"moved scan with the still one of at least 0\.5 .*; got -?0\.\d\d;"):
        align_pair(brain(turned_head()), still, np.eye(4), REGISTRATION)
