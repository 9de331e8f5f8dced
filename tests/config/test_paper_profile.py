"""The published sizes build and fit one another, on torch's meta device: shapes alone, nothing is computed."""

import torch

from bmenet.config.profiles import load_profile
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.coarse import build_coarse
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.denoiser import Denoiser
from bmenet.networks.slab import input_channels

CONFIG = load_profile("paper")


@torch.no_grad()
def test_the_published_networks_lead_from_a_volume_to_a_volume():
    with torch.device("meta"):
        autoencoder, denoiser = LatentAutoencoder(CONFIG.autoencoder), Denoiser(CONFIG.denoiser, 3)
        volume = torch.rand(1, 1, 40, 56, 40)
        latent, covariates = autoencoder.encode(volume), CovariateEncoder(1).encode(volume)
        assert latent.shape == (1, 3, 5, 7, 5)
        conditions = latent, torch.tensor([CONFIG.fine.max_timestep]), covariates
        control = HintControl(CONFIG.denoiser, 3)(*conditions, torch.cat([latent, latent], dim=1))
        assert autoencoder.decode(denoiser(*conditions, control)).shape == volume.shape
        slab = torch.rand(1, input_channels(CONFIG.coarse.context_slices), 40, 56)
        assert build_coarse(CONFIG.coarse).eval()(slab).shape == (1, 1, 40, 56)
