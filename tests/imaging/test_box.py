"""The box around a mask is tight, takes a margin where there is room, and an empty mask has none."""

import numpy as np
import pytest

from bmenet.imaging.box import bounding_box


@pytest.fixture
def inside():
    box = np.zeros((9, 9, 9), bool)
    box[2:5, 3, 4:8] = True
    return box


def test_the_box_is_tight(inside):
    assert bounding_box(inside) == (slice(2, 5), slice(3, 4), slice(4, 8))


def test_a_margin_ends_where_the_grid_does(inside):
    assert bounding_box(inside, 3) == (slice(0, 8), slice(0, 7), slice(1, 9))
    assert bounding_box(inside, (0, 1, 2)) == (slice(2, 5), slice(2, 5), slice(2, 9))


def test_an_empty_mask_has_no_box(inside):
    with pytest.raises(ValueError, match="True somewhere"):
        bounding_box(~inside & inside)
