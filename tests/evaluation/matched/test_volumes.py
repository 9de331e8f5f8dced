import numpy as np
import pytest

from bmenet.evaluation.matched import volumes
from bmenet.evaluation.matched.person import matched_gain
from bmenet.evaluation.matched.volumes import prepare_moved, prepare_still
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.resample import resample
from bmenet.registration import Registration
from tests.matched_heads import PREPARATION, bright_brain, identity, moving_head, still_head, turned_head


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


def test_a_still_scan_becomes_a_clean_volume(still):
    assert still.volume.grid.same_as(PREPARATION.grid)
    assert still.volume.data.min() == 0
    assert still.volume.data.max() == 1
    assert not still.volume.data[~still.support].any()


def test_two_scans_that_differ_in_pose_and_gain_alone_agree_once_aligned_and_motion_remains(still):
    aligned = brain_psnr(prepare_moved(turned_head(), still, PREPARATION).volume, still)
    assert aligned > 35
    assert brain_psnr(resample(turned_head().volume, PREPARATION.grid), still) < 16, "as they lay in the scanner"
    assert brain_psnr(prepare_moved(moving_head(), still, PREPARATION).volume, still) < aligned - 5


def test_the_moved_volume_has_the_receiver_gain_taken_out(still):
    once, thrice = (prepare_moved(turned_head(gain=gain), still, PREPARATION).volume for gain in (2, 6))
    np.testing.assert_allclose(thrice.data, once.data, atol=0.02)


def test_the_moved_volume_is_empty_where_the_still_one_was_cut(still):
    moved = prepare_moved(moving_head(), still, PREPARATION)
    assert not moved.volume.data[~still.support].any()
    assert (moved.volume.data[still.support] > 0).mean() > 0.95


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
    assert not moved.volume.data[~cut.support].any()
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
