"""The published sizes: they build and sample, on a CPU, at 4 mm. Needs 8 GB."""

import pytest
import torch

from bmenet.config.profiles import load_profile
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.coarse import build_coarse
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.slab import input_channels
from bmenet.restoration.fine_net import DEFAULT_SAMPLING, FineNet
from bmenet.restoration.torch_networks import TorchNetworks

CONFIG = load_profile("paper")


@pytest.fixture(scope="module")
def net() -> FineNet:
    """The networks at their published sizes, untrained."""
    torch.manual_seed(0)
    denoiser = Denoiser(CONFIG.denoiser, 3)
    control = HintControl(CONFIG.denoiser, 3)
    control.copy_encoder(denoiser)
    parts = [LatentAutoencoder(CONFIG.autoencoder), LatentAutoencoder(CONFIG.autoencoder), CovariateEncoder(1)]
    for network in (*parts, denoiser):
        network.eval().requires_grad_(False)
    networks = TorchNetworks(*parts, denoiser, control)
    return FineNet(networks, NoiseSchedule(CONFIG.diffusion), None, CONFIG.fine.max_timestep, 4)


def test_the_second_stage_samples(net, phantom):
    sampling = DEFAULT_SAMPLING.model_copy(update={"steps": 2, "solver": "ddim"})
    enhanced = net.restore(phantom.data, sampling).data
    assert enhanced.shape == phantom.data.shape
    assert enhanced.max() > 0


@torch.no_grad()
def test_the_published_coarse_net_restores_a_slice():
    network = build_coarse(CONFIG.coarse).eval()
    slab = torch.rand(1, input_channels(CONFIG.coarse.context_slices), 40, 56)
    assert network(slab).shape == (1, 1, 40, 56)
