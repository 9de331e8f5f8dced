import pytest
import torch
from torch import nn

from bmenet.config.profiles import load_profile
from bmenet.networks.compute import autocast
from bmenet.networks.field import FieldNet


@pytest.fixture
def network() -> FieldNet:
    torch.manual_seed(0)
    return FieldNet(load_profile("smoke").field).eval()


@pytest.fixture
def head() -> torch.Tensor:
    return torch.rand(2, 1, 16, 24, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("profile", ["smoke", "demo", "base", "paper"])
def test_untrained_network_tells_no_field(profile, head):
    log_field = FieldNet(load_profile(profile).field).eval()(head)
    assert log_field.shape == head.shape
    assert not log_field.any()


def test_what_it_tells_is_smooth_and_float32_in_any_number_format(network, head):
    nn.init.normal_(network.tail.weight)
    with torch.no_grad():
        exact = network(head)
        with autocast("cpu", torch.bfloat16):
            half = network(head)
    assert exact.std() > 0.01
    assert exact.diff(dim=2).std() < 0.5 * exact.std()
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, atol=0.03 * float(exact.abs().max()), rtol=0)
    # In bfloat16 values above 0.5 would lie on a grid of 2 ** -8.
    assert (half * 2**12 % 1).count_nonzero() > 0.9 * half.numel()


def test_a_place_and_an_intensity_both_count_and_other_heads_of_a_batch_do_not(network, head):
    nn.init.normal_(network.tail.weight)
    with torch.no_grad():
        both, alone = network(head), network(head[1:])
        mirrored = network(head[1:].flip(2)).flip(2)
        brighter = network(2 * head[1:])
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)
    assert (alone - mirrored).abs().max() > 1e-3
    assert (alone - brighter).abs().max() > 1e-3
