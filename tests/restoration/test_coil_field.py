"""A field is found from what it makes of a scan; an enhancer gives it back where it is asked to, and not the noise."""

from dataclasses import replace

import numpy as np
import pytest

from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.restoration.coil_field import own_field, smooth_ratio


@pytest.fixture
def field(clean):
    return np.linspace(0.7, 1.3, clean.shape[1], dtype=np.float32)[None, :, None]


def test_the_field_is_what_makes_one_as_bright_as_the_other(clean, field):
    inside = clean > 0
    found = smooth_ratio(clean * field, clean, inside, 1)
    error = (found / field - 1)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.03  # of a field of 0.7 to 1.3; most of it at the rim of the brain


def test_what_a_network_took_out_comes_back_and_noise_does_not(clean, noisy, field):
    inside = clean > 0
    returned = clean * own_field(clean, noisy * field, 1)
    assert psnr(returned, clean * field, inside) > 30 > psnr(noisy * field, clean * field, inside)
    assert psnr(clean, clean * field, inside) < 25


def test_the_background_has_no_field(clean, noisy, field):
    assert (own_field(clean, noisy * field, 1)[clean == 0] == 1).all()


@pytest.mark.parametrize("keeps_field", [False, True])
def test_an_enhancer_keeps_the_field_where_it_is_asked_to(make_enhancer, make_scan, smooth, keeps_field):
    field = np.linspace(0.7, 1.3, smooth.data.shape[1], dtype=np.float32)[None, :, None]
    scan = make_scan(smooth.with_data(smooth.data * field))
    enhancer = replace(make_enhancer(lambda data: data / field), keeps_field=keeps_field)
    inside = smooth.data > 0.1
    wanted = scan.volume.data if keeps_field else smooth.data
    error = (enhancer.enhance(scan).scan.volume.data - wanted)[inside]
    assert np.sqrt(np.mean(error**2)) < 0.02
