"""The written-out backward pass is the gradient of the constraint."""

import pytest
import torch

from bmenet.diffusion.guidance import local_ncc, ncc_gradient
from bmenet.release.export.gradient import guidance_graph
from tests.fine_networks import make_fine_net


@pytest.fixture(scope="module")
def autoencoder():
    return make_fine_net().networks.autoencoder


@pytest.fixture(scope="module")
def inputs(autoencoder, phantom):
    """Latent, base, gain and reference, each a tensor of its own."""
    reference = torch.from_numpy(phantom.data)[None, None]
    return autoencoder.encode(reference).detach(), 0.5 * reference, torch.tensor(0.75), reference


@pytest.mark.parametrize("window", [5, 9])
def test_graph_is_the_gradient_that_autograd_finds(autoencoder, inputs, window):
    latent, base, gain, reference = inputs
    graph = guidance_graph(autoencoder, window, inputs)
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


def test_graph_needs_no_autograd(autoencoder, inputs):
    graph = guidance_graph(autoencoder, 9, inputs)
    operations = {str(node.target) for node in graph.graph.nodes if node.op == "call_function"}
    assert not [name for name in operations if "backward" in name or "detach" in name]
