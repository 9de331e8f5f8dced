import numpy as np
import pytest

from bmenet.imaging.intensity import blind_scale, normalise
from bmenet.runtime.errors import VolumeError


@pytest.fixture
def head():
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in (80, 112, 80)], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    return np.where(radius < 0.7, np.where(radius < 0.45, 0.9, 0.6), 0).astype(np.float32)


def test_normalise_undoes_any_gain(head):
    first, scale = normalise(head, 99.5)
    second, scaled = normalise(head * 1234, 99.5)
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert scaled == pytest.approx(1234 * scale, rel=1e-5)
    assert first.max() == 1
    assert first.min() == 0


def test_blind_scale_follows_a_gain_and_is_not_moved_by_noise_bias_or_a_bright_spot(head, generator):
    noise, spotted = 0.07 * generator.standard_normal((2, *head.shape)), head.copy()
    spotted[:6, :6, :6] = 6.0
    biased = head * np.linspace(0.7, 1.3, head.shape[1])[None, :, None]
    for disturbed, gain in ((head * 500, 500), (np.hypot(head + noise[0], noise[1]), 1), (biased, 1), (spotted, 1)):
        assert blind_scale(disturbed, 2) == pytest.approx(gain * blind_scale(head, 2), rel=0.06)


def test_a_volume_without_foreground_has_no_scale():
    dark = np.zeros((16, 16, 16), np.float32)
    with pytest.raises(VolumeError, match="without a foreground"):
        normalise(dark, 99.5)
    with pytest.raises(VolumeError, match="all dark"):
        blind_scale(dark, 4)
