import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.evaluation.matched import volumes
from bmenet.evaluation.matched.volumes import align_pair, matched_gain, prepare_moved, prepare_still
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.resample import resample
from bmenet.imaging.volume import Volume
from bmenet.registration import BACKENDS, AlignmentError, Registration
from bmenet.runtime.errors import VolumeError
from tests.matched_heads import (
    PREPARATION,
    SHIFT_MM,
    TURN_DEG,
    bright_brain,
    identity,
    moving_head,
    still_head,
    turned_head,
)

CONFIG = PREPARATION.registration


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(volumes, "find_brain", bright_brain)
    monkeypatch.setattr(volumes, "register", identity)


@pytest.fixture
def still():
    return prepare_still(still_head(), PREPARATION)


def brain_psnr(volume, still):
    gain = matched_gain(volume.data, still.volume.data, still.brain_mask)
    return psnr(gain * volume.data, still.volume.data, still.brain_mask)


def test_two_scans_that_differ_in_pose_and_gain_alone_agree_once_aligned_and_motion_remains(still):
    aligned = brain_psnr(prepare_moved(turned_head(), still, PREPARATION), still)
    assert aligned > 35
    assert brain_psnr(resample(turned_head().volume, PREPARATION.grid), still) < 16, "as they lay in the scanner"
    assert brain_psnr(prepare_moved(moving_head(), still, PREPARATION), still) < aligned - 5


def test_the_moved_volume_is_empty_where_the_still_one_was_cut(still):
    moved = prepare_moved(moving_head(), still, PREPARATION)
    assert not moved.data[~still.support].any()
    assert (moved.data[still.support] > 0).mean() > 0.95


def test_of_whole_heads_only_the_brain_of_the_still_one_is_kept(still, monkeypatch):
    mask_of = bright_brain

    def in_a_head(scan):
        outside = ~mask_of(scan.volume).brain_mask
        return scan.with_data(np.where(outside, 0.5 * scan.volume.data.max(), scan.volume.data))

    heads = {turned: in_a_head(turned_head() if turned else still_head()) for turned in (False, True)}
    masks = {False: mask_of(still_head().volume).brain_mask, True: mask_of(turned_head().volume).brain_mask}

    def find(volume):
        is_turned = np.array_equal(volume.data, heads[True].volume.data)
        return Brain(masks[is_turned], False, "deepbet")

    monkeypatch.setattr(volumes, "find_brain", find)
    cut = prepare_still(heads[False], PREPARATION)
    assert np.count_nonzero(cut.support) < 0.4 * cut.support.size
    assert not cut.volume.data[~cut.support].any()
    moved = prepare_moved(heads[True], cut, PREPARATION)
    assert not moved.data[~cut.support].any()
    inner = cut.support & still.support
    np.testing.assert_allclose(np.median(cut.volume.data[inner]), np.median(still.volume.data[inner]), atol=0.1)


def test_the_brain_of_the_still_scan_is_what_is_registered(monkeypatch):
    seen = []
    quarter = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    monkeypatch.setattr(volumes, "register", lambda *given: seen.append(given) or Registration(quarter, 0.8, "stub"))
    scan = still_head()
    still = prepare_still(scan, PREPARATION)
    ((moving, config),) = seen
    np.testing.assert_array_equal(moving.data, scan.volume.data * bright_brain(scan.volume).brain_mask)
    assert config == PREPARATION.registration
    as_it_lay = resample(scan.volume, PREPARATION.grid, quarter)
    assert np.corrcoef(still.volume.data[still.support], as_it_lay.data[still.support])[0, 1] > 0.99


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
    found = align_pair(brain(turned_head()), still.volume, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed) < 0.3
    brighter = align_pair(brain(turned_head(gain=5 * 1.7)), still.volume, np.eye(4), CONFIG)
    assert largest_distance_mm(brighter.moving2fixed) < 0.3
    assert found.similarity > 0.9


def test_align_pair_finds_the_pose_of_a_head_that_moved(still):
    found = align_pair(brain(moving_head(severity="moderate")), still.volume, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed) < 3, "within what the head moved by"


def test_align_pair_finds_a_head_far_away_in_the_scanner(still):
    moved = brain(turned_head())
    far = np.eye(4)
    far[:3, 3] = (60, -80, 100)
    away = Volume(moved.data, far @ moved.affine)
    found = align_pair(away, still.volume, np.eye(4), CONFIG)
    assert largest_distance_mm(found.moving2fixed @ far) < 0.3


def test_align_pair_refuses_a_result_that_does_not_resemble_the_still_scan(still, monkeypatch):
    upside_down = np.diag([1.0, -1.0, -1.0, 1.0])
    monkeypatch.setitem(BACKENDS, "ants", lambda moving, fixed, start: upside_down @ start)
    with pytest.raises(AlignmentError, match=r"moved scan with the still one of at least 0\.5 .*; got -?0\.\d\d;"):
        align_pair(brain(turned_head()), still.volume, np.eye(4), CONFIG)


def test_matched_gain_is_the_best_factor_there_is(phantom, generator):
    still, brain_mask = phantom.data, phantom.data > 0
    noisy = 3 * still + 0.1 * generator.standard_normal(still.shape).astype(np.float32)
    gain = matched_gain(noisy, still, brain_mask)
    assert gain == pytest.approx(1 / 3, rel=0.01)

    def error(factor):
        return np.sum((factor * noisy - still)[brain_mask] ** 2)

    assert error(gain) < min(error(gain * 1.01), error(gain * 0.99))


def test_matched_gain_refuses_an_empty_restoration(phantom):
    with pytest.raises(VolumeError, match="with signal inside the brain; got one without"):
        matched_gain(np.zeros_like(phantom.data), phantom.data, phantom.data > 0)
