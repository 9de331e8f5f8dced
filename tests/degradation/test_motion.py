"""Motion in k-space: a rigid move of the head, in a coil that stays, in lines away from the centre."""

import numpy as np
import pytest

from bmenet.degradation import bias_field, motion
from bmenet.imaging.volume import Volume
from bmenet.runtime.seeding import generator
from tests.degradation.conftest import severity


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
