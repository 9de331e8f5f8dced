import numpy as np
import pytest

from bmenet.imaging.brain import estimate_ventricles_ml, foreground_mask
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume


def brain_with_holes(*holes: tuple[tuple[float, float, float], float]) -> tuple[Volume, np.ndarray]:
    """A ball of 65 mm of bright tissue with dark balls in it: centre and radius in mm."""
    grid = standard_grid(2)
    places = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1) * 2.0 + grid.affine[:3, 3]
    data = np.where(np.linalg.norm(places - (0, -15, 10), axis=-1) < 65, 0.8, 0).astype(np.float32)
    brain_mask = data > 0
    for centre, radius in holes:
        data[np.linalg.norm(places - centre, axis=-1) < radius] = 0.1
    return Volume(data, grid.affine), brain_mask


@pytest.mark.parametrize("radius", [8.0, 12.0])
def test_the_volume_of_a_known_cavity(radius):
    estimate = estimate_ventricles_ml(*brain_with_holes(((0, -10, 15), radius)))
    assert estimate == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.05)


def test_what_is_dark_elsewhere_does_not_count():
    below = ((0, -15, -20), 8.0)
    assert estimate_ventricles_ml(*brain_with_holes(below)) == 0
    # In the box, yet near the surface: a sulcus.
    shallow = ((0, 33, 28), 3.5)
    assert estimate_ventricles_ml(*brain_with_holes(shallow)) == 0


def test_scale_does_not_matter():
    clean, brain_mask = brain_with_holes(((0, -10, 15), 10.0))
    bright = clean.with_data(700 * clean.data)
    assert estimate_ventricles_ml(bright, brain_mask) == estimate_ventricles_ml(clean, brain_mask)


def test_the_template_has_ventricles_of_a_person():
    template = load_template(standard_grid(2))
    assert 5 < estimate_ventricles_ml(template, foreground_mask(template.data)) < 30
