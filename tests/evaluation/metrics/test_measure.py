import numpy as np
import pytest

from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.measure import matched_gain, measure
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError


def test_measure_of_the_clean_volume_is_perfect_and_finite(phantom):
    values = measure(phantom, phantom)
    assert list(values) == list(METRICS)
    assert values == pytest.approx(
        {name: 0 if metric.lower_is_better else 1 for name, metric in METRICS.items()}
        | {"psnr": 100, "psnr_brain": 100}
    )


@pytest.mark.parametrize("name", METRICS)
def test_metric_gets_worse_with_more_noise(name, phantom, generator):
    noise = generator.standard_normal(phantom.data.shape).astype(np.float32)
    brain_mask = phantom.data > 0
    weak, strong = (METRICS[name](phantom.data + sigma * noise, phantom.data, brain_mask) for sigma in (0.02, 0.1))
    assert (strong > weak) if METRICS[name].lower_is_better else (strong < weak)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.inside_brain])
def test_metric_inside_the_brain_ignores_the_far_background(name, phantom):
    brain_mask = np.zeros(phantom.data.shape, bool)
    brain_mask[15:25, 15:30, 15:25] = True
    spoiled = phantom.data.copy()
    spoiled[:, :, :3] = 0.7
    assert METRICS[name](spoiled, phantom.data, brain_mask) == METRICS[name](phantom.data, phantom.data, brain_mask)


def test_measure_refuses_another_grid(phantom):
    other = Volume(phantom.data, standard_grid(2).affine)
    with pytest.raises(GridMismatchError, match="expected the grid of `clean`"):
        measure(other, phantom)


def test_measure_refuses_a_mask_of_another_shape(phantom):
    with pytest.raises(GridMismatchError, match=r"`brain_mask`: expected shape \(40, 56, 40\); got \(2, 2, 2\)"):
        measure(phantom, phantom, np.ones((2, 2, 2), bool))


def test_measure_refuses_an_empty_mask(phantom):
    with pytest.raises(VolumeError, match="got an empty one"):
        measure(phantom, phantom, np.zeros(phantom.data.shape, bool))


def test_measure_refuses_a_constant_clean_volume(phantom):
    flat = phantom.with_data(np.full_like(phantom.data, 0.5))
    with pytest.raises(VolumeError, match=r"got 0\.5 everywhere"):
        measure(phantom, flat, np.ones(phantom.data.shape, bool))


def test_measure_refuses_nan(phantom):
    spoiled = phantom.data.copy()
    spoiled[0, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="`restored`: expected finite"):
        measure(phantom.with_data(spoiled), phantom)


def test_matched_gain_is_the_best_factor_there_is(phantom, generator):
    still, brain_mask = phantom.data, phantom.data > 0
    noisy = 3 * still + 0.1 * generator.standard_normal(still.shape).astype(np.float32)
    gain = matched_gain(noisy, still, brain_mask)
    assert gain == pytest.approx(1 / 3, rel=0.01)

    def error(factor):
        return np.sum((factor * noisy - still)[brain_mask] ** 2)

    assert error(gain) < min(error(gain * 1.01), error(gain * 0.99))


def test_matched_gain_refuses_an_empty_restoration(phantom):
    with pytest.raises(VolumeError, match="with signal inside the brain; got one without"):
        matched_gain(np.zeros_like(phantom.data), phantom.data, phantom.data > 0)
