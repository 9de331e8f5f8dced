"""Heads of every kind: whether the brain stands alone, and what counts as brain, however the rest was treated."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from bmenet.imaging import brain_extraction
from bmenet.imaging.brain_extraction import extract_brain, find_brain, is_skull_stripped
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError


@pytest.fixture
def depth_mm(phantom) -> np.ndarray:
    """Distance from the phantom's brain, 0 in it."""
    return ndimage.distance_transform_edt(phantom.data == 0, sampling=4)


@pytest.fixture
def make_head(phantom, depth_mm) -> Callable[..., Volume]:
    """Return a function that puts dark fluid, skull and a scalp around the brain; intensities of a scanner."""

    def make(scalp: float = 0.7) -> Volume:
        layers = np.select([depth_mm == 0, depth_mm <= 8, depth_mm <= 16], [phantom.data, 0.05, scalp], 0.0)
        return phantom.with_data(700 * layers)

    return make


def _front(phantom, share: float) -> np.ndarray:
    """Return the front of the field of view, where a face is, below the middle."""
    y, z = np.arange(56)[None, :, None], np.arange(40)[None, None, :]
    return np.broadcast_to((y > (1 - share) * 56) & (z < 22), phantom.data.shape)


@pytest.mark.parametrize("scalp", [0.2, 0.7, 4.0], ids=["dark scalp", "scalp", "very bright scalp"])
def test_a_scalp_of_any_brightness_makes_a_head(phantom, make_head, scalp, generator):
    noise = 700 * 0.03 * generator.standard_normal((2, *phantom.data.shape))
    head = make_head(scalp)
    noisy = head.with_data(np.hypot(head.data + noise[0], noise[1]))
    assert not is_skull_stripped(noisy, phantom.data > 0)


@pytest.mark.parametrize("cut", ["empty", "noisy"])
def test_a_defaced_head_is_a_head_whatever_fills_the_cut(phantom, make_head, generator, cut):
    head, face = make_head(), _front(phantom, 0.4)
    filling = 0 if cut == "empty" else generator.uniform(0, 500, head.data.shape)
    defaced = head.with_data(np.where(face & (phantom.data == 0), filling, head.data))
    assert (defaced.data != head.data).mean() > 0.03
    assert not is_skull_stripped(defaced, phantom.data > 0)


def test_neck_and_shoulders_do_not_make_a_lone_brain(phantom, make_head):
    head = make_head()
    body = np.zeros(head.data.shape, bool)
    body[12:28, 16:40, :6] = body[:, 10:46, :3] = True
    with_body = head.with_data(np.where(body & (phantom.data == 0), 500, head.data))
    assert not is_skull_stripped(with_body, phantom.data > 0)


@pytest.mark.parametrize("left", ["dura", "nothing", "less than the brain"])
def test_what_a_stripping_left_is_the_brain(phantom, depth_mm, monkeypatch, left):
    """The network draws the brain; dura that was left around it belongs to the scan, what was cut off does not."""
    monkeypatch.setattr(brain_extraction, "extract_brain", lambda volume, device: phantom.data > 0)
    data = np.where((left == "dura") & (depth_mm > 0) & (depth_mm <= 4), 0.35, phantom.data)
    if left.startswith("less"):
        data = np.where(ndimage.binary_erosion(ndimage.binary_fill_holes(phantom.data > 0)), data, 0)
    brain = find_brain(phantom.with_data(700 * data))
    assert (brain.is_skull_stripped, brain.source) == (True, "background")
    np.testing.assert_array_equal(brain.brain_mask, ndimage.binary_fill_holes(data > 0))


@pytest.mark.parametrize(("litres", "is_found"), [(0.3, False), (0.5, True), (1.2, True), (2.8, False)])
def test_a_childs_brain_of_half_a_litre_is_a_brain(monkeypatch, litres, is_found):
    """In voxels of 4 mm, as the network would draw it."""

    class Network:
        def run_model(self, data):
            return data

        def postprocess(self, brain_mask):
            return brain_mask

    monkeypatch.setattr(brain_extraction, "_network", lambda device: Network())
    places = np.stack(np.meshgrid(*[4.0 * (np.arange(60) - 29.5)] * 3, indexing="ij"))
    radius_mm = (3 * litres * 1e6 / (4 * np.pi)) ** (1 / 3)
    volume = Volume((np.linalg.norm(places, axis=0) < radius_mm).astype(np.float32), np.diag([4.0, 4, 4, 1]))
    if not is_found:
        with pytest.raises(VolumeError, match=r"0\.4 to 2\.5 litres; found \d\.\d\d"):
            extract_brain(volume)
        return
    assert 64e-6 * np.count_nonzero(extract_brain(volume)) == pytest.approx(litres, rel=0.02)


@pytest.mark.parametrize("air", ["noise of MP2RAGE", "wrap-around"])
def test_what_fills_the_air_of_a_head_does_not_strip_it(phantom, depth_mm, make_head, generator, air):
    head = make_head()
    filled = head.data.copy()
    outside = depth_mm > 16
    if air == "wrap-around":
        filled += 0.6 * np.roll(head.data, 28, axis=1) * outside
    else:
        filled[outside] = generator.uniform(0, 900, outside.sum())
    assert not is_skull_stripped(head.with_data(filled), phantom.data > 0)
