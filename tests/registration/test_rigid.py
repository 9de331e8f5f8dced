import numpy as np
import pytest

from bmenet.imaging.resample import resample
from bmenet.imaging.template import load_template
from bmenet.registration import BACKENDS, AlignmentError, check_aligned, register, rigid
from bmenet.registration.start import Start
from bmenet.runtime.errors import RegistrationError


def test_register_recovers_a_far_motion_with_the_same_matrix_each_time(far_head, config, assert_close):
    registration = register(far_head.volume, config)
    assert_close(registration.moving2fixed, far_head.moving2fixed)
    assert (registration.similarity > 0.9, registration.backend) == (True, "ants")
    again = register(far_head.volume, config)
    np.testing.assert_array_equal(again.moving2fixed, registration.moving2fixed)
    assert again.similarity == registration.similarity


@pytest.fixture
def known_start(moved_head, monkeypatch):
    """Spare the search: the true pose is the start."""
    monkeypatch.setattr(rigid, "find_start", lambda moving: Start(moved_head.moving2fixed, size=1.0))


@pytest.mark.usefixtures("known_start")
def test_register_refuses_what_does_not_resemble_the_template(moved_head, config, monkeypatch):
    tilted = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    monkeypatch.setitem(BACKENDS, "ants", lambda moving, fixed, start: tilted @ start)
    with pytest.raises(AlignmentError, match=r"at least 0\.5; got 0\.\d\d") as failure:
        register(moved_head.volume, config)
    np.testing.assert_allclose(failure.value.moving2fixed, tilted @ moved_head.moving2fixed)


@pytest.mark.usefixtures("known_start")
def test_register_keeps_the_start_for_the_picture_when_the_tool_fails(moved_head, config, monkeypatch):
    def fail(moving, fixed, start):
        raise RegistrationError("the tool gave up")

    monkeypatch.setitem(BACKENDS, "ants", fail)
    with pytest.raises(AlignmentError, match="the tool gave up") as failure:
        register(moved_head.volume, config)
    np.testing.assert_allclose(failure.value.moving2fixed, moved_head.moving2fixed)


def test_measure_similarity_separates_good_from_bad(moved_head, grid):
    fixed = load_template(grid)
    shifted = moved_head.moving2fixed.copy()
    shifted[1, 3] += 10
    good = rigid.measure_similarity(moved_head.volume, fixed, moved_head.moving2fixed)
    assert rigid.measure_similarity(moved_head.volume, fixed, shifted) < 0.6 * good


def test_check_aligned_finds_a_brain_of_another_size_in_its_place_and_refuses_one_upside_down(config, grid):
    template = load_template(grid)
    shrunk = Start(np.eye(4), size=0.88).fit_template(template)
    registration = check_aligned(resample(shrunk, grid), config)
    np.testing.assert_array_equal(registration.moving2fixed, np.eye(4))
    assert (registration.similarity > 0.9, registration.backend) == (True, "none")
    with pytest.raises(AlignmentError, match=r"at least 0\.5; got 0\.\d\d; a scan on the standard grid is not reg"):
        check_aligned(template.with_data(template.data[:, :, ::-1]), config)
