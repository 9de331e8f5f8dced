import numpy as np
import pytest

from bmenet.imaging.brain import foreground_mask
from bmenet.registration.similarity import LocalNCC


@pytest.fixture
def compare(phantom) -> LocalNCC:
    return LocalNCC(phantom.data, foreground_mask(phantom.data), window_voxels=5)


def test_local_ncc_is_one_of_a_volume_with_itself_minus_one_of_its_negative_and_zero_of_nothing(compare, phantom):
    assert 0.9 < compare(phantom.data) <= 1
    assert -1 <= compare(1 - phantom.data) < -0.9
    assert compare(np.zeros_like(phantom.data)) == 0


def test_local_ncc_ignores_a_bias_field_and_brightness(compare, phantom):
    field = 0.5 + np.linspace(0.4, 1, phantom.data.shape[1])[None, :, None]
    biased = (0.7 * field * phantom.data).astype(np.float32)
    assert compare(biased) > 0.97 * compare(phantom.data)


def test_local_ncc_falls_with_every_step_of_a_shift(compare, phantom):
    values = [compare(np.roll(phantom.data, shift, axis=1)) for shift in range(5)]
    assert values == sorted(values, reverse=True)
    assert values[4] < 0.6 * values[0]
