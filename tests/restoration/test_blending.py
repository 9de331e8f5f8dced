"""The weights with which the restored volume enters the result."""

import numpy as np

from bmenet.imaging.volume import Volume
from bmenet.restoration.blending import blend, brain_ramp, face_ramp


def test_face_ramp_rises_from_nothing_on_the_faces_to_one_after_four_mm():
    weight = face_ramp((20, 10, 10), (1.0, 2.0, 4.0))
    np.testing.assert_allclose(weight[:6, 5, 5], [0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(weight[10, -4:, 5], [1, 1, 0.5, 0])
    assert (weight[:, :, [0, -1]] == 0).all()
    np.testing.assert_array_equal(weight, weight[::-1, ::-1, ::-1])


def test_brain_ramp_is_one_in_the_brain_and_falls_to_zero_around_it():
    np.testing.assert_allclose(brain_ramp(np.array([0, 1, 2, 3, 50])), [1, 1, 0.5, 0, 0])


def test_blend_keeps_every_bit_where_the_weight_is_zero(generator):
    kept = Volume(generator.normal(size=(4, 4, 4)).astype(np.float32), np.eye(4))
    restored = kept.with_data(kept.data * 1e6)
    weight = kept.with_data((generator.random((4, 4, 4)) > 0.5).astype(np.float32))
    blended = blend(restored, kept, weight)
    np.testing.assert_array_equal(blended.data[weight.data == 0], kept.data[weight.data == 0])
    np.testing.assert_allclose(blended.data[weight.data == 1], restored.data[weight.data == 1], rtol=1e-6)
