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
