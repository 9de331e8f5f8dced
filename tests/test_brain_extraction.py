"""The brain is found in any orientation, and a lone brain is told from a head."""

import nibabel as nib
import numpy as np
import pytest

from bmenet import brain_extraction
from bmenet.brain_extraction import extract_brain, is_skull_stripped
from bmenet.errors import VolumeError, WeightsError
from bmenet.grid import standard_grid
from bmenet.template import load_template
from bmenet.volume import Volume


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


@pytest.mark.parametrize("sigma", [0.0, 0.12])
@pytest.mark.parametrize("scalp", [0.0, 0.8])
def test_is_skull_stripped_sees_a_scalp_through_noise(phantom, generator, sigma, scalp):
    brain_mask = phantom.data > 0
    axes = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in phantom.data.shape], indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    head = np.where((radius > 0.95) & (radius < 1.1), scalp, phantom.data) * 700
    noise = 700 * sigma * generator.normal(size=(2, *head.shape))
    noisy = np.hypot(head + noise[0], noise[1]).astype(np.float32)
    assert is_skull_stripped(phantom.with_data(noisy), brain_mask) == (scalp == 0)
