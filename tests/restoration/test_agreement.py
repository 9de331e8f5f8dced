"""Planes that disagree about the brightness of slices are brought together; planes that agree stay as they are."""

import numpy as np
import pytest

from bmenet.restoration.agreement import agree, keep_brightness


def uneven(data: np.ndarray, normal: int, rng: np.random.Generator, spread: float = 0.1) -> np.ndarray:
    """Give every slice along an axis a random gain."""
    gains = np.exp(spread * rng.standard_normal(data.shape[normal])).astype(np.float32)
    return data * np.expand_dims(gains, [axis for axis in range(3) if axis != normal])


@pytest.mark.parametrize("normals", [[0, 1, 2], [2, 1, 0], [0, 2], [1, 2]])
def test_gains_of_slices_are_found_but_for_that_of_the_whole(phantom, normals):
    rng = np.random.default_rng(0)
    planes = [uneven(phantom.data, normal, rng) for normal in normals]
    inside = phantom.data > 0.4

    def unevenness(volume: np.ndarray) -> float:
        ratio = volume[inside] / phantom.data[inside]
        return float(ratio.std() / ratio.mean())

    assert unevenness(agree(planes, normals, 4)) < 0.25 * unevenness(np.mean(planes, axis=0))


def test_one_plane_is_returned_as_it_is(phantom, generator):
    plane = uneven(phantom.data, 2, generator)
    np.testing.assert_array_equal(agree([plane], [2], 4), plane)


def test_planes_that_agree_are_not_changed_and_a_coil_field_that_all_see_is_kept(phantom):
    field = np.linspace(0.8, 1.2, 40, dtype=np.float32)[:, None, None]
    shaded = phantom.data * field
    np.testing.assert_allclose(agree([shaded] * 3, [0, 1, 2], 4), shaded, atol=1e-6)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.7])
def test_brightness_of_the_tissue_is_kept(phantom, gain):
    restored = keep_brightness(phantom.data * np.float32(gain), phantom.data)
    inside = phantom.data * gain > 0.25
    assert restored[inside].mean() == pytest.approx(phantom.data[inside].mean(), rel=1e-4)


def test_empty_volume_stays_empty(phantom):
    empty = np.zeros_like(phantom.data)
    assert not agree([empty] * 3, [0, 1, 2], 4).any()
    assert not keep_brightness(empty, phantom.data).any()
