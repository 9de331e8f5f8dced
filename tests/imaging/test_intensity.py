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


def test_normalise_refuses_a_volume_without_foreground():
    with pytest.raises(VolumeError, match="without a foreground"):
        normalise(np.zeros((8, 8, 8), np.float32), 99.5)


def test_blind_scale_follows_the_gain(head):
    assert blind_scale(head * 500, 2) == pytest.approx(500 * blind_scale(head, 2), rel=1e-6)


@pytest.mark.parametrize("disturbance", ["noise", "bias", "bright spot"])
def test_blind_scale_is_not_moved_by(head, disturbance):
    disturbed = head.copy()
    if disturbance == "noise":
        generator = np.random.default_rng(0)
        disturbed = np.hypot(
            head + 0.07 * generator.standard_normal(head.shape), 0.07 * generator.standard_normal(head.shape)
        )
    elif disturbance == "bias":
        disturbed = head * np.linspace(0.7, 1.3, head.shape[1])[None, :, None]
    else:
        disturbed[:6, :6, :6] = 6.0
    assert blind_scale(disturbed, 2) == pytest.approx(blind_scale(head, 2), rel=0.06)


def test_blind_scale_refuses_darkness():
    with pytest.raises(VolumeError, match="all dark"):
        blind_scale(np.zeros((16, 16, 16), np.float32), 4)
