import numpy as np
import pytest

from bmenet.evaluation.metrics.dice import dice_overlap, label_dice, label_sizes, mean_label_dice, region_dice
from bmenet.runtime.errors import GridMismatchError, VolumeError

REFERENCE = np.array([0, 1, 1, 1, 1, 2, 2, 3, 0, 0]).reshape(1, 2, 5)
# 3 of 4 voxels of label 1, one of them taken for 2; 3 is missed; 7 is made up.
LABELS = np.array([0, 1, 1, 1, 2, 2, 2, 0, 7, 0]).reshape(1, 2, 5)


def test_label_dice_is_twice_the_intersection_over_the_sum_of_the_sizes():
    assert label_dice(LABELS, REFERENCE) == {1: 2 * 3 / (3 + 4), 2: 2 * 2 / (3 + 2), 3: 0.0}


def test_label_dice_of_a_segmentation_with_itself_is_1():
    assert label_dice(REFERENCE, REFERENCE) == {1: 1.0, 2: 1.0, 3: 1.0}


def test_mean_label_dice_counts_the_labels_of_the_reference_alone_and_all_the_same():
    assert mean_label_dice(LABELS, REFERENCE) == pytest.approx((6 / 7 + 4 / 5 + 0) / 3)
    assert mean_label_dice(REFERENCE, LABELS) == pytest.approx((6 / 7 + 4 / 5 + 0) / 3)  # 7 is missed, 3 not counted


def test_background_never_counts():
    padded = [np.pad(part, 5) for part in (LABELS, REFERENCE)]
    assert mean_label_dice(*padded) == mean_label_dice(LABELS, REFERENCE)


def test_region_dice_forgives_a_neighbour_of_the_same_region():
    assert region_dice(LABELS, REFERENCE, {"both": (1, 2)}) == {"both": 1.0}


def test_region_dice_leaves_out_what_the_reference_lacks_and_scores_0_what_is_missed():
    regions = {"in neither": (9,), "made up": (7,), "missed": (3,)}
    assert region_dice(LABELS, REFERENCE, regions) == {"missed": 0.0}


def test_dice_overlap_of_two_empty_regions_is_no_number():
    with pytest.raises(VolumeError, match="two empty ones"):
        dice_overlap(np.zeros(3, bool), np.zeros(3, bool))


def test_mean_label_dice_refuses_a_reference_of_background():
    with pytest.raises(VolumeError, match="background alone"):
        mean_label_dice(LABELS, np.zeros_like(LABELS))


@pytest.mark.parametrize("measure", [dice_overlap, label_dice, mean_label_dice])
def test_dice_never_broadcasts(measure):
    with pytest.raises(GridMismatchError, match=r"\(1, 2, 5\) and \(1, 1, 5\)"):
        measure(LABELS, REFERENCE[:, :1])


def test_label_sizes_are_voxels_above_0():
    assert label_sizes(LABELS) == {1: 3, 2: 3, 7: 1}
