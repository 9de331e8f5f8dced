import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.grid import Grid, standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.registration.start import LocalNCC, Start, centre_of_mass_mm, coarsened, find_start
from bmenet.runtime.errors import RegistrationError


@pytest.mark.parametrize("size", [0.85, 0.65], ids=["a small brain", "half a litre"])
def test_find_start_measures_a_small_brain(grid, size):
    template = load_template(grid)
    small = Volume(template.data, np.diag([size, size, size, 1]) @ template.affine)
    start = find_start(small)
    assert start.size == pytest.approx(size, abs=0.02)
    np.testing.assert_allclose(np.linalg.det(start.moving2fixed), 1)
    np.testing.assert_allclose(start.moving2fixed[:3, :3], np.eye(3), atol=0.02)


@pytest.mark.parametrize("turn_deg", [[90, 0, 0], [0, 0, -90], [180, 0, 0], [90, 10, 90]])
def test_find_start_finds_a_head_that_lies_turned(grid, turn_deg):
    template = load_template(grid)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    start = find_start(Volume(template.data, turn @ template.affine))
    back = start.moving2fixed @ turn
    assert np.degrees(np.linalg.norm(Rotation.from_matrix(back[:3, :3]).as_rotvec())) < 4
    centre = centre_of_mass_mm(template)
    assert np.linalg.norm((back @ [*centre, 1])[:3] - centre) < 4


def test_fit_template_scales_about_the_centre(grid):
    template = load_template(grid)
    fitted = Start(np.eye(4), size=0.9).fit_template(template)
    np.testing.assert_allclose(centre_of_mass_mm(fitted), centre_of_mass_mm(template), atol=1e-6)
    assert fitted.grid.spacing_mm == pytest.approx((3.6,) * 3)


def test_find_start_refuses_an_empty_scan(phantom):
    with pytest.raises(RegistrationError, match="expected a scan with bright tissue"):
        find_start(phantom.with_data(np.zeros_like(phantom.data)))


def test_coarsened_covers_the_same_field_of_view_and_leaves_coarse_axes_alone():
    assert coarsened(standard_grid(1), 4).same_as(standard_grid(4))
    grid = Grid((100, 100, 20), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert coarsened(grid, 2).shape == (50, 50, 20)
    assert coarsened(grid, 2).spacing_mm == (2, 2, 5)


@pytest.fixture
def compare(phantom) -> LocalNCC:
    return LocalNCC(phantom.data, foreground_mask(phantom.data), window_voxels=5)


def test_local_ncc_is_one_of_a_volume_with_itself_and_ignores_a_bias_field_and_brightness(compare, phantom):
    assert 0.9 < compare(phantom.data) <= 1
    assert -1 <= compare(1 - phantom.data) < -0.9
    assert compare(np.zeros_like(phantom.data)) == 0
    field = 0.5 + np.linspace(0.4, 1, phantom.data.shape[1])[None, :, None]
    biased = (0.7 * field * phantom.data).astype(np.float32)
    assert compare(biased) > 0.97 * compare(phantom.data)


def test_local_ncc_falls_with_every_step_of_a_shift(compare, phantom):
    values = [compare(np.roll(phantom.data, shift, axis=1)) for shift in range(5)]
    assert values == sorted(values, reverse=True)
    assert values[4] < 0.6 * values[0]
