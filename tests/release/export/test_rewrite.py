"""Rewritten networks compute what the networks computed."""

import pytest
import torch
from torch import nn

from bmenet.diffusion.guidance import local_ncc, ncc_gradient
from bmenet.networks.norm import ChannelNorm
from bmenet.release.export.rewrite import AxisGroupNorm, guidance_graph, half_precision, use_axis_norms
from tests.fine_networks import make_fine_net


def test_every_group_norm_is_replaced_by_one_that_shares_its_weights_and_computes_the_same():
    norm = nn.GroupNorm(4, 16)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = 3 + torch.randn(2, 16, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = norm(features)
    network = nn.Sequential(nn.Sequential(norm))
    use_axis_norms(network)
    assert isinstance(network[0][0], AxisGroupNorm)
    assert network[0][0].weight is norm.weight
    torch.testing.assert_close(network(features), expected, atol=1e-5, rtol=1e-5)


def test_products_are_half_norms_are_not_and_a_layer_of_an_unknown_kind_is_refused():
    network = nn.Sequential(
        nn.Conv1d(2, 4, 1), nn.GroupNorm(2, 4, affine=False), nn.ConvTranspose1d(4, 2, 2), ChannelNorm(2)
    )
    half = half_precision(network)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    kinds = {name: parameter.dtype for name, parameter in half.named_parameters() if name.endswith("weight")}
    assert list(kinds.values()) == [torch.float16, torch.float16, torch.float32]
    given = []
    for norm in (half[1].layer, half[3].layer):
        norm.register_forward_pre_hook(lambda _layer, inputs: given.append(inputs[0].dtype))
    half(torch.ones(1, 2, 5))
    assert given == [torch.float32, torch.float32]
    with pytest.raises(TypeError, match="got Embedding"):
        half_precision(nn.Sequential(nn.Embedding(3, 4)))


def test_a_bright_volume_does_not_overflow_in_the_norm():
    # The square of 400 is beyond float16's largest number, 65504.
    network = nn.Sequential(nn.Conv3d(1, 4, 1, bias=False), ChannelNorm(4))
    nn.init.constant_(network[0].weight, 1.0)
    with torch.no_grad():
        network[0].weight[0] = -1
        bright = torch.full((1, 1, 4, 4, 4), 400.0)
        torch.testing.assert_close(half_precision(network)(bright).float(), network(bright), atol=1e-2, rtol=0)


def test_guidance_graph_is_the_gradient_that_autograd_finds(phantom):
    autoencoder, window = make_fine_net().networks.autoencoder, 5
    reference = torch.from_numpy(phantom.data)[None, None]
    inputs = (autoencoder.encode(reference).detach(), 0.5 * reference, torch.tensor(0.75), reference)
    latent, base, gain, reference = inputs
    graph = guidance_graph(autoencoder, window, inputs)
    operations = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert not [name for name in operations if "backward" in name or "detach" in name]
    moved = latent + 0.1 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = graph(moved, base, gain, reference)
    expected = ncc_gradient(moved, lambda z: base + gain * autoencoder.decode(z), reference, window)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    # A step along it raises NCC, a step against it lowers it.
    step = 0.05 * got / got.square().mean().sqrt()
    before, after, back = (
        float(local_ncc(base + gain * autoencoder.decode(moved + sign * step), reference, window))
        for sign in (0, 1, -1)
    )
    assert back < before < after
