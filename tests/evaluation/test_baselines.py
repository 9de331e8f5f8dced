import importlib.util

import numpy as np
import pytest

from bmenet.evaluation import baselines
from bmenet.evaluation.baselines import BASELINES, find_foreground, holds_head
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import BMENetError, VolumeError
from tests.registered import head_around

INSTALLED = [name for name in BASELINES if name != "n4_bm4d" or importlib.util.find_spec("bm4d")]


@pytest.fixture(scope="module", autouse=True)
def few_iterations():
    """Let N4 stop early: it takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_N4_ITERATIONS", [5, 5])
        yield


@pytest.fixture(scope="module")
def clean(phantom) -> Volume:
    """The phantom at 8 mm."""
    return Volume(np.ascontiguousarray(phantom.data[::2, ::2, ::2]), phantom.affine @ np.diag([2, 2, 2, 1]))


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_restores_repeatably_keeps_the_intensity_scale_and_refuses_a_constant_volume(name, clean):
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, extent) for extent in clean.data.shape), indexing="ij")
    noise = 0.05 * np.random.default_rng(1).standard_normal((2, *clean.data.shape))
    degraded = clean.with_data(np.hypot(clean.data * np.exp(0.5 * x + 0.3 * y * z) + noise[0], noise[1]))
    brain_mask = clean.data > 0
    restored, again = BASELINES[name](degraded).data, BASELINES[name](degraded).data
    assert restored.dtype == np.float32
    assert psnr(restored, clean.data, brain_mask) > psnr(degraded.data, clean.data, brain_mask) + 0.5
    # BM4D sums in several threads.
    assert np.allclose(again, restored, rtol=0, atol=1e-4 if name == "n4_bm4d" else 0)
    assert (restored[0, 0, 0] == 0) == (name != "n4"), "denoising empties the background"
    loud = BASELINES[name](degraded.with_data(degraded.data * 3)).data
    assert loud[brain_mask].mean() / restored[brain_mask].mean() == pytest.approx(3, rel=0.02)
    with pytest.raises(VolumeError, match="expected a volume with a brain"):
        BASELINES[name](clean.with_data(np.zeros_like(clean.data)))


@pytest.mark.parametrize("name", INSTALLED)
def test_baseline_takes_the_field_out_of_a_whole_head_and_leaves_noise_in_its_air(name, clean):
    head, _ = head_around(clean)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, extent) for extent in head.data.shape), indexing="ij")
    noise = 0.05 * np.random.default_rng(1).standard_normal((2, *head.data.shape))
    degraded = head.with_data(np.hypot(head.data * np.exp(0.5 * x + 0.3 * y * z) + noise[0], noise[1]))
    assert holds_head(degraded)
    assert not holds_head(clean)
    restored, is_air = BASELINES[name](degraded).data, head.data == 0
    for tissue in (0.85, 0.9):
        spreads = [np.std(data[head.data == np.float32(tissue)]) for data in (restored, degraded.data)]
        assert spreads[0] < 0.95 * spreads[1]
    assert np.mean(restored[is_air] > 0) > 0.1
    if name != "n4":
        assert restored[is_air].mean() < 0.9 * degraded.data[is_air].mean()


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_a_stripped_brain_is_no_head_however_loud_its_noise(phantom, generator, sigma):
    noise = sigma * generator.standard_normal((2, *phantom.data.shape))
    for volume, is_head in ((phantom, False), (head_around(phantom)[0], True)):
        assert holds_head(volume.with_data(np.hypot(volume.data + noise[0], noise[1]))) is is_head


@pytest.mark.skipif("n4_bm4d" in INSTALLED, reason="bm4d is installed")
def test_bm4d_without_its_package_says_what_to_install(clean):
    with pytest.raises(BMENetError, match=r"pip install bmenet\[bm4d\]"):
        BASELINES["n4_bm4d"](clean)


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.1])
def test_find_foreground_overlaps_the_clean_brain_under_noise_and_fills_the_ventricles(phantom, generator, sigma):
    noise = sigma * generator.standard_normal((2, *phantom.data.shape))
    found = find_foreground(phantom.with_data(np.hypot(phantom.data + noise[0], noise[1])))
    brain_mask = phantom.data > 0
    assert 2 * (found & brain_mask).sum() / (found.sum() + brain_mask.sum()) > 0.93
    assert phantom.data[17, 29, 20] == pytest.approx(0.15)
    assert found[17, 29, 20]
