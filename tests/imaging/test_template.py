import numpy as np
import pytest
from scipy import ndimage

from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template


@pytest.mark.parametrize("spacing_mm", [1, 2, 4])
def test_load_template_gives_a_brain_of_unit_intensity_in_mni_coordinates(spacing_mm):
    template = load_template(standard_grid(spacing_mm))
    assert template.grid.same_as(standard_grid(spacing_mm))
    assert template.data.min() == 0
    assert 0.8 < template.data.max() <= 1
    # The brain of MNI152 has 1.7 to 1.9 litres, is symmetric about x = 0, and is not cut by the grid.
    assert 1.7e6 < (template.data > 0.3).sum() * spacing_mm**3 < 1.9e6
    centre_mm = template.affine @ [*ndimage.center_of_mass(template.data), 1]
    np.testing.assert_allclose(centre_mm[:3], [0, -20, 8], atol=3)
    assert abs(centre_mm[0]) < 0.5
    assert template.data[[0, -1]].max() < 0.02
    assert template.data[:, [0, -1]].max() < 0.02
