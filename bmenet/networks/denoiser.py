"""The denoiser of latents: predicts the noise from a noisy latent, its timestep and the covariates."""

from typing import Any

import torch
from monai.networks.nets import DiffusionModelUNet
from torch import Tensor, nn
from torch.nn import functional

from bmenet.config import DenoiserConfig
from bmenet.networks.covariate_encoder import COVARIATES
from bmenet.networks.norm import use_channel_norms

Residuals = tuple[list[Tensor], Tensor]
"""Output of a ControlNet, added to the denoiser: a tensor for each skip connection, and one for the middle."""


class Denoiser(nn.Module):
    """Predict the noise in ``z_t``: a U-Net that gets the covariates twice, as channels and through cross-attention.

    References
    ----------
    Pinaya et al. (2022). Brain imaging generation with latent diffusion models. doi:10.1007/978-3-031-18576-2_12
    """

    def __init__(self, config: DenoiserConfig, latent_channels: int) -> None:
        super().__init__()
        self.multiple = latent_multiple(config)
        self.network = DiffusionModelUNet(
            in_channels=latent_channels + len(COVARIATES), out_channels=latent_channels, **unet_keywords(config)
        )
        if config.norm == "channel":
            use_channel_norms(self.network)

    def forward(
        self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, control: Residuals | None = None
    ) -> Tensor:
        """Return the noise in a latent, (B, C, X, Y, Z), at a timestep, (B,).

        Covariates, (B, 4), are in [0, 1] and in the order of `COVARIATES`. `control` are the residuals of a ControlNet
        that was given the same latent.
        """
        down, middle = control or (None, None)
        noise = self.network(
            join_covariates(noisy_latent, covariates, self.multiple),
            timesteps=timestep,
            context=covariates.unsqueeze(1),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        )
        x, y, z = noisy_latent.shape[2:]
        return noise[..., :x, :y, :z]


def unet_keywords(config: DenoiserConfig) -> dict[str, Any]:
    """Return the keywords that the denoiser's U-Net and its ControlNet share."""
    return {
        "spatial_dims": 3,
        "channels": config.channels,
        "num_res_blocks": config.res_blocks,
        "attention_levels": config.attention,
        "norm_num_groups": config.norm_groups,
        "norm_eps": 1e-6,
        "resblock_updown": True,
        "num_head_channels": [config.head_channels if attends else 0 for attends in config.attention],
        "with_conditioning": True,
        "transformer_num_layers": 1,
        "cross_attention_dim": len(COVARIATES),
        "upcast_attention": True,
    }


def latent_multiple(config: DenoiserConfig) -> int:
    """Return the number that divides the latent's extents, so that skip connections fit."""
    return 2 ** (len(config.channels) - 1)


def join_covariates(latent: Tensor, covariates: Tensor, multiple: int) -> Tensor:
    """Return the latent padded by zeros at its ends to whole multiples, with a constant channel for each covariate."""
    padding = [amount for extent in reversed(latent.shape[2:]) for amount in (0, -extent % multiple)]
    padded = functional.pad(latent, padding)
    constant = covariates[:, :, None, None, None].expand(-1, -1, *padded.shape[2:])
    return torch.cat([padded, constant.to(padded.dtype)], dim=1)
