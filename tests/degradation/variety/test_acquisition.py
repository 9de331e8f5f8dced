"""Contrast and resolution: order is kept, background stays empty, detail is lost where it should be."""

import numpy as np

from bmenet.config.augmentation import ContrastConfig, ResolutionConfig
from bmenet.degradation.variety.acquisition import lower_resolution, recontrast


def test_contrast_keeps_the_order_of_tissues_and_both_ends(phantom):
    config = ContrastConfig(chance=1, gamma=[0.6, 1.6], bend=0.5)
    for seed in range(5):
        changed = recontrast(phantom, config, np.random.default_rng(seed))
        levels = [changed.data[phantom.data == value].mean() for value in np.unique(phantom.data)]
        assert levels == sorted(levels)
        assert levels[0] == 0
        ends = recontrast(phantom.with_data(np.clip(2 * phantom.data, 0, 1)), config, np.random.default_rng(seed))
        assert ends.data.max() == 1


def test_contrast_of_no_bend_is_a_power(phantom):
    config = ContrastConfig(chance=1, gamma=[2.0, 2.0], bend=0)
    changed = recontrast(phantom, config, np.random.default_rng(0))
    np.testing.assert_allclose(changed.data, phantom.data**2, atol=0.02)


def test_resolution_is_lost_inside_and_the_background_stays_empty(phantom):
    config = ResolutionConfig(chance=1, fwhm_mm=[8, 8])
    blurred, sigma = lower_resolution(phantom, config, np.random.default_rng(3))
    inside = phantom.data > 0
    assert not blurred.data[~inside].any()
    before, after = (
        sum(np.square(np.diff(d, axis=axis)).sum() for axis in range(3)) for d in (phantom.data, blurred.data)
    )
    assert after < 0.95 * before
    assert 0 < sigma.min() <= sigma.max() < 1


def test_no_blur_changes_nothing(phantom):
    config = ResolutionConfig(chance=1, fwhm_mm=[0, 0])
    blurred, sigma = lower_resolution(phantom, config, np.random.default_rng(0))
    np.testing.assert_array_equal(blurred.data, phantom.data)
    assert not sigma.any()
