"""T1 is told from other contrasts where the template has white and grey matter."""

import numpy as np
import pytest

from bmenet.imaging.contrast import LEAST_WHITE_TO_GREY, white_to_grey
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template


@pytest.mark.parametrize("spacing_mm", [1, 2, 4])
def test_white_matter_is_brighter_under_t1_whatever_the_scale_and_darker_under_another_contrast(spacing_mm):
    template = load_template(standard_grid(spacing_mm))
    other = template.with_data(np.where(template.data > 0, 1 - 0.8 * template.data, 0))  # as of T2
    assert white_to_grey(template.with_data(700 * template.data)) > 1.2
    assert white_to_grey(other) < LEAST_WHITE_TO_GREY
