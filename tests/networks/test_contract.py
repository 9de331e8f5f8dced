"""What every network in COARSE_ARCHS must do, and the sizes that were published."""

import pytest
import torch

from bmenet.config import CoarseConfig
from bmenet.config.profiles import load_profile
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.coarse import COARSE_ARCHS, build_coarse
from bmenet.networks.control import HintControl
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.slab import central_slice, input_channels

ARCHS = sorted(COARSE_ARCHS)


def small_config(arch: str, context_slices: int = 3) -> CoarseConfig:
    config = load_profile("smoke").coarse
    unet = config.unet.model_copy(update={"channels": 8, "levels": 3})
    swinir = config.swinir.model_copy(update={"embed": 12, "depths": [2, 2], "heads": 2, "window": 4, "unshuffle": 2})
    return config.model_copy(update={"arch": arch, "unet": unet, "swinir": swinir, "context_slices": context_slices})


@pytest.fixture(params=ARCHS)
def config(request: pytest.FixtureRequest) -> CoarseConfig:
    return small_config(request.param)


@pytest.mark.parametrize("context_slices", [1, 5])
@pytest.mark.parametrize("arch", ARCHS)
def test_untrained_network_is_the_identity_for_any_size(arch: str, context_slices: int) -> None:
    slab = torch.rand(2, input_channels(context_slices), 33, 46)
    restored = build_coarse(small_config(arch, context_slices))(slab)
    assert restored.shape == (2, 1, 33, 46)
    assert torch.equal(restored, central_slice(slab, context_slices))


def test_network_can_learn(config: CoarseConfig) -> None:
    torch.manual_seed(0)
    network = build_coarse(config)
    slab = torch.rand(1, input_channels(config.context_slices), 16, 16)
    clean = 0.5 * central_slice(slab, config.context_slices) + 0.1
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    errors: list[float] = []
    while len(errors) < 80 and not (errors and errors[-1] < 0.5 * errors[0]):
        error = (network(slab) - clean).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0]


def test_every_channel_can_reach_the_result(config: CoarseConfig) -> None:
    torch.manual_seed(0)
    network = build_coarse(config)
    torch.nn.init.normal_(network.tail.weight)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and not module.weight.any():
            torch.nn.init.normal_(module.weight)
    slab = torch.rand(1, input_channels(config.context_slices), 16, 16, requires_grad=True)
    network(slab).sum().backward()
    assert slab.grad is not None
    assert (slab.grad.abs().amax(dim=(0, 2, 3)) > 0).all()


def test_result_does_not_depend_on_the_other_slabs_of_a_batch(config: CoarseConfig) -> None:
    torch.manual_seed(0)
    network = build_coarse(config).eval()
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    slabs = torch.rand(3, input_channels(config.context_slices), 16, 16)
    with torch.no_grad():
        together, alone = network(slabs)[1:2], network(slabs[1:2])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_networks_of_the_paper_have_their_published_sizes() -> None:
    # SwinIR of DESIGN: unshuffle 4, embed 180, 8 x 6 layers, 6 heads, window 8, ratio 2. The published ControlNet joins
    # hint and latent before its first layer; ours sums two convolutions: about the same.
    config = load_profile("paper")
    channels = config.autoencoder.latent_channels
    with torch.device("meta"):
        networks = [
            build_coarse(config.coarse),
            LatentAutoencoder(config.autoencoder).network,
            Denoiser(config.denoiser, channels).network,
            HintControl(config.denoiser, channels),
        ]
    swinir, autoencoder, denoiser, control = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert swinir / 1e6 == pytest.approx(15.8, abs=0.5)
    assert [autoencoder / 1e6, denoiser / 1e6] == pytest.approx([13.8, 553.2], abs=0.06)
    assert [len(network.state_dict()) for network in networks[1:3]] == [162, 528]
    assert control / 1e6 == pytest.approx(229.7, rel=0.02)
