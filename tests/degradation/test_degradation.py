"""Physics of the three effects, alone and together."""

import numpy as np
import pytest

from bmenet.config import BiasConfig, MotionConfig, NoiseConfig, Severity
from bmenet.degradation import DEGRADATIONS, apply, bias_field, draw, effects, motion, rician_noise
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.volume import Volume
from bmenet.runtime.seeding import generator

CODES = ["100", "010", "001", "110", "101", "011", "111"]


def severity(rotation=3.0, translation=3.0, sigma=0.05, ratio=0.5) -> Severity:
    return Severity(
        motion=MotionConfig(
            max_rotation_deg=rotation, max_translation_mm=translation, moves=[2, 4], protected_centre_fraction=0.04
        ),
        noise=NoiseConfig(sigma=[sigma, sigma]),
        bias=BiasConfig(ratio=[ratio, ratio], order=3),
    )


@pytest.fixture(scope="module")
def head() -> Volume:
    """An ellipsoid with an off-centre hole: no symmetry hides a wrong sign or axis."""
    grid = standard_grid(4)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in grid.shape], indexing="ij")
    data = np.clip(4 * (0.7 - np.sqrt(x**2 + y**2 + z**2)), 0, 0.9)
    data[(x - 0.2) ** 2 + (y - 0.3) ** 2 + (z + 0.1) ** 2 < 0.02] = 0.2
    return Volume(data.astype(np.float32), grid.affine)


@pytest.mark.parametrize("code", CODES)
def test_degradation_changes_nothing_at_zero_severity(head, code):
    parameters = draw(severity(0, 0, 0, 0), code, head, generator(0, "a", code))
    np.testing.assert_allclose(apply(head, parameters).data, head.data, atol=1e-4)


@pytest.mark.parametrize("code", CODES)
def test_degradation_repeats_with_its_seed_and_differs_with_another(head, code):
    def run(seed):
        return apply(head, draw(severity(), code, head, generator(seed, "a", code))).data

    first = run(0)
    np.testing.assert_array_equal(first, run(0))
    assert np.abs(first - run(1)).max() > 0.01
    assert np.abs(first - head.data).max() > 0.01


@pytest.mark.parametrize("code", CODES)
def test_degradation_keeps_the_grid_and_stays_a_magnitude(head, code):
    degraded = apply(head, draw(severity(), code, head, generator(0, "a", code)))
    assert degraded.grid.same_as(head.grid)
    assert degraded.data.dtype == np.float32
    assert degraded.data.min() >= 0


def test_effects_refuses_a_code_that_is_not_three_bits():
    with pytest.raises(ValueError, match=r"three digits 0 or 1.*got '12'"):
        effects("12")


def test_codes_switch_each_effect_by_its_digit(head):
    for position, name in enumerate(DEGRADATIONS):
        code = "".join("1" if index == position else "0" for index in range(3))
        assert set(draw(severity(), code, head, generator(0))) == {name}


def test_noise_has_rician_moments():
    # Gudbjartsson and Patz 1995: E[m^2] = A^2 + 2 sigma^2; without signal the mean is sigma sqrt(pi / 2).
    sigma, signal = 0.05, 0.4
    shape = (64, 64, 64)
    inside = np.abs(rician_noise.apply(np.full(shape, signal, np.float32), {"sigma": sigma, "seed": 1}))
    outside = np.abs(rician_noise.apply(np.zeros(shape, np.float32), {"sigma": sigma, "seed": 2}))
    assert np.mean(inside**2) == pytest.approx(signal**2 + 2 * sigma**2, rel=2e-3)
    assert outside.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=5e-3)
    assert outside.std() == pytest.approx(sigma * np.sqrt(2 - np.pi / 2), rel=5e-3)


def test_bias_field_has_the_drawn_ratio_and_mean_one_in_the_foreground(head):
    parameters = bias_field.draw(severity(ratio=0.5).bias, head, generator(3))
    field = bias_field.field(head.data.shape, parameters)
    inside = field[head.data > 0.04]
    assert (inside.max() - inside.min()) / (inside.max() + inside.min()) == pytest.approx(0.5, abs=0.01)
    assert inside.mean() == pytest.approx(1, abs=0.01)


def test_bias_field_is_smooth(head):
    parameters = bias_field.draw(severity(ratio=0.6).bias, head, generator(4))
    field = bias_field.field(head.data.shape, parameters)
    # A polynomial of third order: fourth differences vanish in the log-field, along every axis.
    for axis in range(3):
        assert np.abs(np.diff(np.log(field.astype(np.float64)), n=4, axis=axis)).max() < 1e-5


def test_bias_field_falls_off_with_the_degree(head):
    # Standard normal over the degree: coefficients of degree 3 are a third of those of degree 1; the common amplitude
    # of a draw cancels in the difference of logarithms.
    differences = []
    for seed in range(60):
        drawn = bias_field.draw(severity(ratio=0.5).bias, head, generator(seed))["coefficients"][1:]
        first, third = (np.log(np.abs([row[3] for row in drawn if sum(row[:3]) == degree])) for degree in (1, 3))
        differences.append(first.mean() - third.mean())
    assert np.mean(differences) == pytest.approx(np.log(3), abs=0.3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_motion_is_the_same_in_one_thread_and_in_several(head, monkeypatch, axis):
    lines = head.data.shape[axis]
    poses = [
        {"lines": [first, first + 4], "rotation_deg": [first / 4, 2, -1], "translation_mm": [first / 8, -2, 1]}
        for first in range(0, lines // 2 - 4, 4)
    ]
    images = []
    for threads in (1, 4):
        monkeypatch.setattr(motion, "thread_count", lambda threads=threads: threads)
        images.append(motion.apply(head, 1.0, {"phase_encode_axis": axis, "poses": poses}))
    np.testing.assert_array_equal(*images)


def test_motion_with_a_single_pose_is_no_motion(head):
    image = motion.apply(head, 1.0, {"phase_encode_axis": 1, "poses": []})
    np.testing.assert_array_equal(image, head.data)


def test_motion_in_one_pose_throughout_is_a_rigid_move(head):
    # All lines in one pose: the image is the moved head, whatever the phase-encode axis.
    pose = {"lines": [0, head.data.shape[2]], "rotation_deg": [0, 0, 0], "translation_mm": [8.0, 0, -4.0]}
    image = np.abs(motion.apply(head, 1.0, {"phase_encode_axis": 2, "poses": [pose]}))
    np.testing.assert_allclose(
        image[4:-4, 4:-4, 4:-4], np.roll(head.data, (2, 0, -1), (0, 1, 2))[4:-4, 4:-4, 4:-4], atol=2e-4
    )


def test_motion_equals_the_fourier_definition(head):
    # Line by line with numpy's FFT, from poses and coil, against the difference form in use.
    coil = bias_field.field(head.data.shape, bias_field.draw(severity().bias, head, generator(5)))
    parameters = motion.draw(severity().motion, head, generator(6))
    axis = parameters["phase_encode_axis"]
    movable = motion.Head.of(head)
    kspace = np.fft.fftshift(np.fft.fft(coil * head.data, axis=axis), axes=axis)
    for pose in parameters["poses"]:
        lines = [slice(None)] * 3
        lines[axis] = slice(*pose["lines"])
        view = coil * motion.moved(movable, pose)
        kspace[tuple(lines)] = np.fft.fftshift(np.fft.fft(view, axis=axis), axes=axis)[tuple(lines)]
    expected = np.fft.ifft(np.fft.ifftshift(kspace, axes=axis), axis=axis)
    np.testing.assert_allclose(motion.apply(head, coil, parameters), expected, atol=2e-5)


def test_motion_moves_with_the_head_while_the_coil_stays(head):
    # A head moved through a fixed coil differs from a moved image of head and coil.
    coil = np.linspace(0.5, 1.5, head.data.shape[0], dtype=np.float32)[:, None, None]
    pose = {"lines": [0, head.data.shape[1]], "rotation_deg": [0, 0, 0], "translation_mm": [8.0, 0, 0]}
    image = np.abs(motion.apply(head, coil, {"phase_encode_axis": 1, "poses": [pose]}))
    inside = np.s_[8:-8, 8:-8, 8:-8]
    np.testing.assert_allclose(image[inside], (coil * np.roll(head.data, 2, 0))[inside], atol=5e-4)


def test_motion_never_moves_at_the_centre_of_kspace(head):
    for seed in range(50):
        parameters = motion.draw(severity().motion, head, generator(seed))
        lines = head.data.shape[parameters["phase_encode_axis"]]
        for pose in parameters["poses"]:
            first, end = pose["lines"]
            assert end <= lines // 2 - 0.04 * lines or first >= lines // 2 + 0.04 * lines


def test_motion_turns_about_the_named_axis_by_the_right_hand_rule():
    # +90 degrees about z takes +x to +y.
    data = np.zeros((21, 21, 21), np.float32)
    data[15, 10, 10] = 1
    volume = Volume(data, np.eye(4))
    turned = motion.moved(motion.Head.of(volume), {"rotation_deg": [0, 0, 90], "translation_mm": [0, 0, 0]})
    assert np.unravel_index(turned.argmax(), turned.shape) == (10, 15, 10)


def test_motion_of_a_head_leaves_no_negative_overshoot(head):
    # Cubic splines ring at the rim of the hole and of the head; tissue has no negative signal.
    movable = motion.Head.of(head)
    turned = motion.moved(movable, {"rotation_deg": [5, 3, -4], "translation_mm": [1.3, 0.7, 2.1]})
    assert turned.min() == 0
