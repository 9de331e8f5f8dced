"""Untrained networks of the second stage, of the smoke profile's sizes, in memory and on disk."""

from pathlib import Path

import torch

from bmenet.config import Config
from bmenet.config.profiles import load_profile
from bmenet.diffusion.noise_schedule import NoiseSchedule
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.compute import lay_channels_last
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.weights import save_weights
from bmenet.restoration.fine_net import FineNet
from bmenet.restoration.torch_networks import TorchNetworks


def smoke_config() -> Config:
    return load_profile("smoke")


def make_fine_net(seed: int = 0, reference_variance: list[float] | None = None) -> FineNet:
    """Return networks whose denoiser answers something and whose control does not, yet."""
    config = smoke_config()
    torch.manual_seed(seed)
    denoiser = Denoiser(config.denoiser, 3)
    # Untrained, the last layer of every block is zero, and it would answer zero to everything.
    for parameter in denoiser.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    control = HintControl(config.denoiser, 3, reference_variance)
    control.copy_encoder(denoiser)
    parts = [
        LatentAutoencoder(config.autoencoder),
        LatentAutoencoder(config.autoencoder),
        CovariateEncoder(1, config.covariates.width),
    ]
    for network in (*parts, denoiser, control):
        lay_channels_last(network.eval().requires_grad_(False))
    networks = TorchNetworks(*parts, denoiser, control)
    return FineNet(networks, NoiseSchedule(config.diffusion), reference_variance, config.fine.max_timestep, 4)


def save_fine_net(net: FineNet, weights: Path) -> None:
    """Write the networks as the training stages do."""
    config, networks = smoke_config(), net.networks
    assert isinstance(networks, TorchNetworks)
    autoencoder = {"config": config.autoencoder.model_dump(mode="json"), "shift": [0.0] * 3, "scale": [1.0] * 3}
    denoiser = {"config": config.denoiser.model_dump(mode="json"), "latent_channels": 3}
    specs = {
        "autoencoder": (networks.autoencoder, autoencoder),
        "edge_autoencoder": (networks.edge_autoencoder, autoencoder),
        "covariates": (
            networks.covariate_encoder,
            {"reduction": 1, "width": config.covariates.width, "informed": [True] * 4},
        ),
        "denoiser": (networks.denoiser, denoiser | {"diffusion": config.diffusion.model_dump(mode="json")}),
        "fine": (
            networks.control,
            denoiser | {"max_timestep": net.max_timestep, "reference_variance": net.reference_variance},
        ),
    }
    for kind, (network, spec) in specs.items():
        save_weights(weights / kind, kind, network, spec | {"spacing_mm": 4, "lineage": {}})
