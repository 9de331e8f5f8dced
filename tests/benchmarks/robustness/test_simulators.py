"""The simulators: each keeps what physics says that it keeps."""

import numpy as np
import pytest
from scipy import fft

from benchmarks.robustness.coil import draw_coil_array, draw_gaussian_sources
from benchmarks.robustness.kspace import ghost, thicken, truncate
from benchmarks.robustness.motion import Motion, acquire, draw_few_poses, draw_random_walk
from benchmarks.robustness.noise import add_correlated_noise, add_noise, draw_g_factor
from benchmarks.robustness.variants import with_close_tissues, with_gamma, with_wide_ventricles
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import Volume

STILL = np.zeros((2, 3))
SHAPE = (40, 44, 48)


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


@pytest.mark.parametrize("axis", range(3))
def test_ghosts_keep_the_mean_and_lie_evenly(phantom, axis):
    point = np.zeros((32, 32, 32), np.float32)
    point[16, 16, 16] = 1
    spread = ghost(point, axis, period=4, intensity=0.8, restored=0)
    line = np.moveaxis(spread, axis, 0)[:, 16, 16]
    assert set(np.argsort(line)[-4:]) == {0, 8, 16, 24}
    assert ghost(phantom.data, axis, 4, 0.0) == pytest.approx(phantom.data, abs=1e-5)
    # Before the magnitude the mean is exact; noise-free ghosts add little to it.
    assert ghost(phantom.data, axis, 6, 0.7).mean() == pytest.approx(phantom.data.mean(), rel=0.15)


def test_a_cut_of_k_space_removes_what_is_beyond_it_and_keeps_the_mean(phantom):
    cut = truncate(phantom.data + 1, axis=1, kept=0.5)  # on a bright ground the magnitude changes no sign
    spectrum = np.abs(fft.fft(cut, axis=1)).max(axis=(0, 2))
    frequency = np.abs(fft.fftfreq(cut.shape[1]))
    assert spectrum[frequency > 0.25].max() < 1e-3 * spectrum.max()
    assert cut.mean() == pytest.approx(phantom.data.mean() + 1, rel=1e-5)
    assert truncate(phantom.data, 1, 1.0) == pytest.approx(phantom.data, abs=1e-5)


def test_thick_slices_blur_along_their_axis_alone(phantom):
    ramp = phantom.with_data(np.broadcast_to(np.arange(40.0)[:, None, None], phantom.data.shape))
    assert thicken(ramp, axis=1, thickness_mm=12) == pytest.approx(ramp.data)
    assert thicken(ramp, axis=0, thickness_mm=12)[2:-2] == pytest.approx(ramp.data[2:-2], abs=1e-4)
    assert thicken(phantom, axis=2, thickness_mm=4) == pytest.approx(phantom.data)
    assert np.abs(thicken(phantom, axis=2, thickness_mm=12) - phantom.data).max() > 0.1


def test_a_g_factor_is_at_least_one_and_largest_inside(generator):
    g_factor = draw_g_factor(SHAPE, 3.0, generator)
    assert g_factor.min() >= 1
    assert 2 < g_factor.max() <= 3
    place = np.array(np.unravel_index(g_factor.argmax(), SHAPE))
    assert (np.abs(place / SHAPE - 0.5) < 0.3).all()


def test_noise_follows_its_map(generator):
    sigma = np.full(SHAPE, 0.1, np.float32)
    sigma[20:] = 0.3
    noise = add_noise(np.zeros(SHAPE), sigma, generator)
    assert noise[:20].real.std() == pytest.approx(0.1, rel=0.02)
    assert noise[20:].imag.std() == pytest.approx(0.3, rel=0.02)


def test_neighbours_share_correlated_noise_of_the_same_strength(generator):
    noise = add_correlated_noise(np.zeros(SHAPE), 0.1, 2.0, generator)
    assert noise.real.std() == pytest.approx(0.1, rel=0.05)
    assert np.corrcoef(noise.real[1:].ravel(), noise.real[:-1].ravel())[0, 1] > 0.4
    white = add_noise(np.zeros(SHAPE), 0.1, generator)
    assert abs(np.corrcoef(white.real[1:].ravel(), white.real[:-1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("draw", [draw_coil_array, draw_gaussian_sources])
def test_a_field_is_smooth_and_has_its_ratio_and_a_mean_of_one(phantom, generator, draw):
    brain_mask = foreground_mask(phantom.data)
    field = draw(phantom, brain_mask, 0.5, 4, generator)
    inside = field[brain_mask]
    assert inside.mean(dtype=float) == pytest.approx(1, rel=1e-4)
    assert (inside.max() - inside.min()) / (inside.max() + inside.min()) == pytest.approx(0.5, rel=1e-3)
    assert field.min() > 0
    both = brain_mask[1:] & brain_mask[:-1]
    assert np.abs(np.diff(np.log(field), axis=0))[both].max() < 0.3
    flat = draw(phantom, brain_mask, 0.0, 4, generator)
    assert flat == pytest.approx(np.ones_like(flat))


@pytest.mark.parametrize("change", [lambda v: with_gamma(v, 0.6), lambda v: with_gamma(v, 1.5), with_close_tissues])
def test_a_curve_keeps_black_white_and_the_order_of_tissues(phantom, change):
    ramp = phantom.with_data(np.linspace(0, 1, phantom.data.size).reshape(phantom.data.shape))
    changed = change(ramp).data.ravel()
    assert changed[0] == pytest.approx(0)
    assert changed[-1] == pytest.approx(1)
    assert (np.diff(changed) >= -1e-6).all()


def test_ventricles_widen_and_the_brain_stays(phantom):
    brain_mask = foreground_mask(phantom.data)
    wide = with_wide_ventricles(phantom, brain_mask, 4.0).data
    inner = (slice(12, 28), slice(15, 42), slice(16, 30))
    assert np.count_nonzero(wide[inner] < 0.35) > 1.2 * np.count_nonzero(phantom.data[inner] < 0.35)
    assert np.abs(wide - phantom.data)[:8].max() < 0.02
    assert with_wide_ventricles(phantom, brain_mask, 0.0).data == pytest.approx(phantom.data, abs=1e-5)
