"""The written-out backward pass is the gradient of the constraint."""

import pytest
import torch

from bmenet.diffusion.guidance import local_ncc, ncc_gradient
from bmenet.export.gradient import guidance_graph
from tests.fine_networks import make_fine_net


@pytest.fixture(scope="module")
def inputs(phantom):
    generator = torch.Generator().manual_seed(0)
    reference = torch.from_numpy(phantom.data)[None, None]
    latent = torch.randn(1, 3, *(extent // 4 for extent in phantom.data.shape), generator=generator)
    return latent, 0.5 * reference, torch.tensor(0.75), reference


@pytest.fixture(scope="module")
def autoencoder():
    return make_fine_net().networks.autoencoder


@pytest.mark.parametrize("window", [5, 9])
def test_graph_is_the_gradient_that_autograd_finds(autoencoder, inputs, window):
    latent, base, gain, reference = inputs
    if autoencoder.encode(reference).shape != latent.shape:
        latent = autoencoder.encode(reference).detach() + 0.1
    graph = guidance_graph(autoencoder, window, (latent, base.clone(), gain, reference))
    moved = latent + 0.1 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = graph(moved, base, gain, reference)
    expected = ncc_gradient(moved, lambda z: base + gain * autoencoder.decode(z), reference, window)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    # A step along it raises NCC, a step against it lowers it.
    step = 0.05 * got / got.square().mean().sqrt()
    before, after, back = (
        float(local_ncc(base + gain * autoencoder.decode(moved + sign * step), reference, window)) for sign in (0, 1, -1)
    )
    assert back < before < after


def test_graph_needs_no_autograd(autoencoder, inputs):
    latent = autoencoder.encode(inputs[3]).detach()
    graph = guidance_graph(autoencoder, 9, (latent, inputs[1].clone(), inputs[2], inputs[3]))
    operations = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert not [name for name in operations if "backward" in name or "detach" in name]
