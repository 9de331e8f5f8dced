import numpy as np
import pytest

from bmenet.evaluation.baselines.foreground import find_foreground, widen


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.1])
def test_find_foreground_overlaps_the_clean_brain_under_noise(phantom, generator, sigma):
    noise = sigma * generator.standard_normal((2, *phantom.data.shape))
    found = find_foreground(phantom.with_data(np.hypot(phantom.data + noise[0], noise[1])))
    brain_mask = phantom.data > 0
    assert 2 * (found & brain_mask).sum() / (found.sum() + brain_mask.sum()) > 0.93


def test_find_foreground_fills_the_ventricles(phantom):
    x, y, z = 17, 29, 20
    assert phantom.data[x, y, z] == pytest.approx(0.15)
    assert find_foreground(phantom)[x, y, z]


def test_widen_grows_by_two_millimetres():
    seed = np.zeros((11, 11, 11), bool)
    seed[5, 5, 5] = True
    assert widen(seed, 1.0)[3, 5, 5]
    assert not widen(seed, 2.0)[3, 5, 5]
