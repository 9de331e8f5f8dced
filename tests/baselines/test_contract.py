import importlib.util

import numpy as np
import pytest

from bmenet.baselines import BASELINES
from bmenet.errors import BMENetError, VolumeError
from bmenet.metrics.fidelity import psnr

INSTALLED = [name for name in BASELINES if name != "n4_bm4d" or importlib.util.find_spec("bm4d")]


@pytest.fixture(scope="module")
def field(phantom):
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, extent) for extent in phantom.data.shape), indexing="ij")
    return np.exp(0.5 * x + 0.3 * y * z).astype(np.float32)


@pytest.fixture(scope="module")
def degraded(phantom, field):
    noise = 0.05 * np.random.default_rng(1).standard_normal((2, *phantom.data.shape)).astype(np.float32)
    return phantom.with_data(np.hypot(phantom.data * field + noise[0], noise[1]))


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_brings_a_noisy_biased_volume_closer_to_the_clean_one(name, phantom, degraded):
    restored = BASELINES[name](degraded)
    brain_mask = phantom.data > 0
    assert restored.data.dtype == np.float32
    assert restored.grid.same_as(degraded.grid)
    gain = psnr(restored.data, phantom.data, brain_mask) - psnr(degraded.data, phantom.data, brain_mask)
    assert gain > 3


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_gives_the_same_result_twice(name, degraded):
    assert np.array_equal(BASELINES[name](degraded).data, BASELINES[name](degraded).data)


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_keeps_the_intensity_scale(name, degraded, phantom):
    brain_mask = phantom.data > 0
    loud = degraded.with_data(degraded.data * 3)
    once, thrice = BASELINES[name](degraded).data, BASELINES[name](loud).data
    assert thrice[brain_mask].mean() / once[brain_mask].mean() == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_refuses_a_constant_volume(name, phantom):
    with pytest.raises(VolumeError, match="expected a volume with a brain"):
        BASELINES[name](phantom.with_data(np.zeros_like(phantom.data)))


@pytest.mark.skipif("n4_bm4d" in INSTALLED, reason="bm4d is installed")
def test_bm4d_without_its_package_says_what_to_install(phantom):
    with pytest.raises(BMENetError, match=r"pip install bmenet\[bm4d\]"):
        BASELINES["n4_bm4d"](phantom)


def test_denoising_beats_bias_correction_alone(phantom, degraded):
    n4, n4_nlm = (psnr(BASELINES[name](degraded).data, phantom.data, phantom.data > 0) for name in ("n4", "n4_nlm"))
    assert n4_nlm > n4 + 0.5


def test_denoising_empties_the_background(degraded):
    assert BASELINES["n4_nlm"](degraded).data[0, 0, 0] == 0 < degraded.data[0, 0, 0]
