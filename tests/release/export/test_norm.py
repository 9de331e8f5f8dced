import torch
from torch import nn

from bmenet.release.export.norm import AxisGroupNorm, use_axis_norms


def test_it_is_the_group_norm():
    norm = nn.GroupNorm(4, 16)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = 3 + torch.randn(2, 16, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(AxisGroupNorm(norm)(features), norm(features), atol=1e-5, rtol=1e-5)


def test_every_group_norm_is_replaced_and_shares_its_weights():
    network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU()))
    own = network[1][0].weight
    use_axis_norms(network)
    assert isinstance(network[1][0], AxisGroupNorm)
    assert network[1][0].weight is own
