import pytest
import torch
from torch import nn

from bmenet.networks.norm import ChannelNorm
from bmenet.release.export.half import half_precision


def test_weights_of_products_are_half_and_norms_are_not():
    network = nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), ChannelNorm(8), nn.SiLU(), nn.Conv3d(8, 2, 1))
    half = half_precision(network)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    kinds = {name: parameter.dtype for name, parameter in half.named_parameters()}
    assert kinds["0.layer.weight"] == kinds["3.layer.weight"] == torch.float16
    assert kinds["1.layer.weight"] == torch.float32


def test_a_bright_volume_does_not_overflow_in_the_norm():
    # The square of 400 is beyond float16's largest number, 65504.
    network = nn.Sequential(nn.Conv3d(1, 4, 1, bias=False), ChannelNorm(4))
    nn.init.constant_(network[0].weight, 1.0)
    with torch.no_grad():
        network[0].weight[0] = -1
        bright = torch.full((1, 1, 4, 4, 4), 400.0)
        torch.testing.assert_close(half_precision(network)(bright).float(), network(bright), atol=1e-2, rtol=0)


def test_norms_without_weights_stay_in_full_and_every_convolution_is_halved():
    network = nn.Sequential(
        nn.Conv1d(2, 4, 1), nn.GroupNorm(2, 4, affine=False), nn.ConvTranspose1d(4, 2, 2), nn.InstanceNorm1d(2)
    )
    half = half_precision(network)
    given = []
    half[1].layer.register_forward_pre_hook(lambda _layer, inputs: given.append(inputs[0].dtype))
    half[3].layer.register_forward_pre_hook(lambda _layer, inputs: given.append(inputs[0].dtype))
    half(torch.ones(1, 2, 5))
    assert given == [torch.float32, torch.float32]
    assert half[2].layer.weight.dtype == torch.float16


def test_a_layer_that_nobody_thought_of_is_refused():
    with pytest.raises(TypeError, match="got Embedding"):
        half_precision(nn.Sequential(nn.Embedding(3, 4)))
