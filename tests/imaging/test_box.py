"""The box around a mask is tight, takes a margin where there is room, and an empty mask has none."""

import numpy as np
import pytest

from bmenet.imaging.brain import bounding_box


def test_the_box_is_tight_and_a_margin_ends_where_the_grid_does():
    inside = np.zeros((9, 9, 9), bool)
    inside[2:5, 3, 4:8] = True
    assert bounding_box(inside) == (slice(2, 5), slice(3, 4), slice(4, 8))
    assert bounding_box(inside, 3) == (slice(0, 8), slice(0, 7), slice(1, 9))
    assert bounding_box(inside, (0, 1, 2)) == (slice(2, 5), slice(2, 5), slice(2, 9))
    with pytest.raises(ValueError, match="True somewhere"):
        bounding_box(~inside & inside)
