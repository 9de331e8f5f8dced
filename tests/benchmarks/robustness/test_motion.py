import numpy as np
import pytest

from benchmarks.robustness.motion import Motion, acquire, draw_few_poses, draw_random_walk
from bmenet.imaging.volume import Volume

STILL = np.zeros((2, 3))


@pytest.mark.parametrize("axis", range(3))
def test_no_motion_changes_nothing_but_what_the_coil_does(phantom, axis):
    coil = np.linspace(0.5, 1.5, phantom.data.shape[0], dtype=np.float32)[:, None, None]
    image = acquire(phantom, Motion(axis, (0.0, 0.4, 1.0), STILL, STILL), coil)
    np.testing.assert_allclose(image, coil * phantom.data, atol=1e-6)


def test_a_shift_during_the_whole_scan_shifts_the_head_in_world_space(phantom):
    flipped = Volume(phantom.data, phantom.affine @ np.diag([-1.0, 1, 1, 1]))
    for head, voxels in ((phantom, 1), (flipped, -1)):
        motion = Motion(1, (0.0, 1.0), np.zeros((1, 3)), np.array([[4.0, 0, 0]]))  # a voxel
        np.testing.assert_allclose(np.abs(acquire(head, motion)), np.roll(head.data, voxels, axis=0), atol=2e-2)


@pytest.mark.parametrize(
    "draw", [lambda rng: draw_few_poses(3, 4, 4, rng), lambda rng: draw_random_walk(12, 2, 2, rng)]
)
def test_the_centre_of_k_space_decides_the_pose(draw, generator):
    motion = draw(generator)
    centre = int(np.searchsorted(motion.edges, 0.5, side="right")) - 1
    assert not motion.rotations_deg[centre].any()
    assert not motion.translations_mm[centre].any()
    assert motion.rotations_deg.any()
    assert motion.edges == tuple(sorted(motion.edges))
    assert (motion.edges[0], motion.edges[-1]) == (0, 1)


def test_motion_keeps_the_sum_of_intensities_and_changes_the_image(phantom, generator):
    moved = acquire(phantom, draw_few_poses(3, 3, 3, generator))
    # The plane through the centre of k-space is the still head's.
    assert moved.sum().real == pytest.approx(phantom.data.sum(dtype=float), rel=1e-3)
    assert np.abs(np.abs(moved) - phantom.data).max() > 0.05


def test_a_longer_walk_in_smaller_steps_goes_as_far(generator):
    ends = [draw_random_walk(poses, 2, 2, generator).translations_mm.std() for poses in (10, 400)]
    assert 0.2 < ends[0] / ends[1] < 5
