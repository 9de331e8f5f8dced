"""The brain is found in any orientation, and a lone brain is told from a head."""

import sys
import warnings
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bmenet.imaging import brain_extraction
from bmenet.imaging.brain_extraction import extract_brain, find_brain, is_skull_stripped
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import VolumeError, WeightsError


@pytest.fixture
def network_mask(phantom, monkeypatch):
    """The phantom's brain without its rim, which is all that the network finds."""
    brain_mask = ndimage.binary_erosion(phantom.data > 0)
    monkeypatch.setattr(brain_extraction, "extract_brain", lambda volume, device: brain_mask)
    return brain_mask


def test_extract_brain_finds_the_brain_of_the_template_stored_in_another_orientation():
    template = load_template(standard_grid(4))
    to_lpi = nib.orientations.axcodes2ornt("PIL")
    to_ras = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), to_lpi)
    data = nib.orientations.apply_orientation(template.data, to_ras)
    affine = template.affine @ nib.orientations.inv_ornt_aff(to_ras, template.data.shape)
    found = extract_brain(Volume(np.ascontiguousarray(data), affine))
    expected = data > 0.1
    assert found.shape == data.shape
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) > 0.93


def test_extract_brain_refuses_a_volume_without_a_brain(monkeypatch, phantom):
    class Network:
        def run_model(self, data):
            return np.zeros(data.shape, np.float32)

        def postprocess(self, brain_mask):
            return brain_mask

    monkeypatch.setattr(brain_extraction, "_network", lambda device: Network())
    with pytest.raises(VolumeError, match=r"0\.4 to 2\.5 litres; found 0\.00"):
        extract_brain(phantom)


def test_extract_brain_loads_only_the_networks_that_were_reviewed(monkeypatch, phantom):
    monkeypatch.setattr(brain_extraction, "sha256", lambda path: "0" * 64)
    brain_extraction._network.cache_clear()
    with pytest.raises(WeightsError, match=r"bbox_model\.pt: expected SHA-256 39a7.*got 0000"):
        extract_brain(phantom)


def test_of_deepbet_s_warnings_only_the_one_on_torchscript_is_hidden(monkeypatch):
    def load(no_gpu):
        warnings.warn(
            "`torch.jit.load` is deprecated. Please switch to `torch.export`.", DeprecationWarning, stacklevel=1
        )
        warnings.warn("something else is deprecated", DeprecationWarning, stacklevel=1)

    monkeypatch.setitem(sys.modules, "deepbet", SimpleNamespace(BrainExtraction=load))
    brain_extraction._network.cache_clear()
    with warnings.catch_warnings(record=True, action="always") as shown:
        brain_extraction._network("cpu")
    brain_extraction._network.cache_clear()
    assert [str(warning.message) for warning in shown] == ["something else is deprecated"]


@pytest.mark.parametrize(("sigma", "scalp"), [(0, 0), (0, 0.2), (0, 0.8), (0.03, 0.2), (0.12, 0), (0.12, 0.8)])
def test_is_skull_stripped_sees_a_scalp_through_noise(phantom, generator, sigma, scalp):
    brain_mask = phantom.data > 0
    axes = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in phantom.data.shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    head = np.where((radius > 0.95) & (radius < 1.1), scalp, phantom.data) * 700
    noise = 700 * sigma * generator.normal(size=(2, *head.shape))
    noisy = np.hypot(head + noise[0], noise[1]).astype(np.float32)
    assert is_skull_stripped(phantom.with_data(noisy), brain_mask) == (scalp == 0)


@pytest.mark.usefixtures("network_mask")
@pytest.mark.parametrize(("scale", "background"), [(1, 0), (700, 0), (700, -3)])
def test_find_brain_of_a_stripped_scan_is_all_that_the_stripping_left(phantom, scale, background):
    data = np.where(phantom.data > 0, scale * phantom.data, background)
    data[0, 0, 0] = scale  # a speck
    brain = find_brain(phantom.with_data(data))
    assert (brain.is_skull_stripped, brain.source) == (True, "background")
    np.testing.assert_array_equal(brain.brain_mask, ndimage.binary_fill_holes(phantom.data > 0))


@pytest.mark.parametrize("sigma", [0.005, 0.12])
def test_find_brain_of_a_noisy_stripped_scan_is_the_network_s(phantom, network_mask, generator, sigma):
    noisy = phantom.with_data(np.hypot(phantom.data, sigma * generator.normal(size=phantom.data.shape)))
    brain = find_brain(noisy)
    assert (brain.is_skull_stripped, brain.source) == (True, "deepbet")
    np.testing.assert_array_equal(brain.brain_mask, network_mask)


def test_find_brain_does_not_take_a_head_in_blank_air_for_a_brain(phantom, network_mask):
    distance_mm = 4 * ndimage.distance_transform_edt(phantom.data == 0)
    scalp = (distance_mm > 8) & (distance_mm < 14)
    brain = find_brain(phantom.with_data(np.where(scalp, 0.8, phantom.data)))
    assert (brain.is_skull_stripped, brain.source) == (False, "deepbet")
    np.testing.assert_array_equal(brain.brain_mask, network_mask)


@pytest.mark.usefixtures("network_mask")
def test_find_brain_takes_the_word_of_whoever_knows_what_the_scan_shows(phantom):
    assert not find_brain(phantom, shows="head").is_skull_stripped
    assert find_brain(phantom, shows="brain").is_skull_stripped


def test_find_brain_runs_the_network_on_the_device_and_without_negative_intensities(phantom, monkeypatch):
    seen = []
    brain_mask = phantom.data > 0
    monkeypatch.setattr(
        brain_extraction, "extract_brain", lambda volume, device: seen.append((volume, device)) or brain_mask
    )
    find_brain(phantom.with_data(phantom.data - 0.1), "cuda")
    assert seen[0][1] == "cuda"
    assert seen[0][0].data.min() == 0
