import numpy as np
import pytest

from bmenet.evaluation.metrics.dice import label_dice, region_dice
from bmenet.runtime.errors import GridMismatchError

REFERENCE = np.array([0, 1, 1, 1, 1, 2, 2, 3, 0, 0]).reshape(1, 2, 5)
# 3 of 4 voxels of label 1, one of them taken for 2; 3 is missed; 7 is made up.
LABELS = np.array([0, 1, 1, 1, 2, 2, 2, 0, 7, 0]).reshape(1, 2, 5)


def test_label_dice_is_twice_the_intersection_over_the_sum_of_the_sizes():
    assert label_dice(LABELS, REFERENCE) == {1: 2 * 3 / (3 + 4), 2: 2 * 2 / (3 + 2), 3: 0.0}


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ({"neighbours of one region": (1, 2)}, {"neighbours of one region": 1.0}),
        ({"in neither": (9,), "made up": (7,), "missed": (3,)}, {"missed": 0.0}),
    ],
)
def test_region_dice_forgives_neighbours_and_scores_what_the_reference_has(regions, expected):
    assert region_dice(LABELS, REFERENCE, regions) == expected


@pytest.mark.parametrize("measure", [label_dice, lambda a, b: region_dice(a, b, {"all": (1, 2, 3)})])
def test_dice_never_broadcasts(measure):
    with pytest.raises(GridMismatchError, match=r"\(1, 2, 5\) and \(1, 1, 5\)"):
        measure(LABELS, REFERENCE[:, :1])
