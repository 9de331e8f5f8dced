import numpy as np
import pytest
from scipy import ndimage

from bmenet.config.profiles import load_profile
from bmenet.degradation import bias_field
from bmenet.evaluation.metrics import METRICS
from bmenet.evaluation.metrics.measure import matched_gain, measure
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.volume import Volume
from bmenet.runtime.errors import GridMismatchError, VolumeError
from tests.registered import head_around


def test_measure_of_the_clean_volume_is_perfect_and_finite(phantom):
    values = measure(phantom, phantom)
    assert list(values) == list(METRICS)
    assert values == pytest.approx(
        {name: 0 if metric.lower_is_better else 1 for name, metric in METRICS.items()}
        | {name: 100 for name in METRICS if name.startswith("psnr")}
    )


@pytest.mark.parametrize("name", METRICS)
def test_metric_gets_worse_with_more_noise(name, phantom, generator):
    noise = generator.standard_normal(phantom.data.shape).astype(np.float32)
    brain_mask = phantom.data > 0
    noisy = (phantom.with_data(phantom.data + sigma * noise) for sigma in (0.02, 0.1))
    weak, strong = (METRICS[name](volume, phantom, brain_mask) for volume in noisy)
    assert (strong > weak) if METRICS[name].lower_is_better else (strong < weak)


def test_no_field_moves_the_psnr_without_field_and_noise_does(phantom, generator):
    coil = bias_field.draw(load_profile("demo").degradation.presets["moderate"].bias, phantom, generator)
    field = bias_field.field(phantom.data.shape, coil)
    noise = 0.05 * generator.standard_normal(phantom.data.shape)
    noisy = (phantom.data + noise).astype(np.float32)
    free, brain = (
        [
            measure(phantom.with_data(data.astype(np.float32)), phantom)[name]
            for data in (field * phantom.data, noisy, field * noisy)
        ]
        for name in ("psnr_field_free_brain", "psnr_brain")
    )
    assert brain[0] < 20
    assert free[0] > 35  # a steep field is not smooth to the last
    assert free[1] == pytest.approx(brain[1], abs=0.3)
    assert free[2] == pytest.approx(free[1], abs=1.0)
    assert brain[2] < brain[1] - 5


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.region == "brain"])
def test_metric_inside_the_brain_ignores_the_far_background(name, phantom):
    brain_mask = np.zeros(phantom.data.shape, bool)
    brain_mask[15:25, 15:30, 15:25] = True
    spoiled = phantom.with_data(phantom.data.copy())
    spoiled.data[:, :, :3] = 0.7
    assert METRICS[name](spoiled, phantom, brain_mask) == METRICS[name](phantom, phantom, brain_mask)


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.region == "head"])
def test_metric_of_the_head_sees_the_scalp_and_no_air(name, phantom):
    head, brain_mask = head_around(phantom)
    scalp, air = (head.data > 0) & ~brain_mask, np.zeros(head.data.shape, bool)
    air[:, :, :3] = True
    air &= ~ndimage.binary_dilation(head.data > 0, np.ones((3, 3, 3)), iterations=6)
    assert air.any()
    perfect, beside, dark = (
        METRICS[name](head.with_data(data), head, brain_mask)
        for data in (head.data, np.where(air, 0.7, head.data), np.where(scalp, 0.5 * head.data, head.data))
    )
    assert beside == perfect
    assert dark < 0.95 * perfect


def test_measure_refuses_what_cannot_be_measured(phantom):
    flat, spoiled = phantom.with_data(0 * phantom.data + 0.5), phantom.with_data(phantom.data * np.nan)
    everywhere, other = np.ones(phantom.data.shape, bool), Volume(phantom.data, standard_grid(2).affine)
    for reason, error, given in (
        ("expected the grid of `clean`", GridMismatchError, (other, phantom)),
        ("`brain_mask`: expected shape", GridMismatchError, (phantom, phantom, np.ones((2, 2, 2), bool))),
        ("got an empty one", VolumeError, (phantom, phantom, ~everywhere)),
        (r"got 0\.5 everywhere", VolumeError, (phantom, flat, everywhere)),
        ("`restored`: expected finite", VolumeError, (spoiled, phantom)),
    ):
        with pytest.raises(error, match=reason):
            measure(*given)
    with pytest.raises(VolumeError, match="with signal inside the brain; got one without"):
        matched_gain(0 * phantom.data, phantom.data, everywhere)


def test_matched_gain_is_the_best_factor_there_is(phantom, generator):
    still, brain_mask = phantom.data, phantom.data > 0
    noisy = 3 * still + 0.1 * generator.standard_normal(still.shape).astype(np.float32)
    gain = matched_gain(noisy, still, brain_mask)
    assert gain == pytest.approx(1 / 3, rel=0.01)

    less, best, more = (np.sum((factor * gain * noisy - still)[brain_mask] ** 2) for factor in (0.99, 1, 1.01))
    assert best < min(less, more)
