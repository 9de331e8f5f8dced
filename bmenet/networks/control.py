"""The ControlNet: a copy of the denoiser's encoder that sees the hint and steers the frozen denoiser."""

from collections.abc import Sequence

from monai.networks.nets import ControlNet
from torch import Tensor, nn

from bmenet.config import DenoiserConfig
from bmenet.networks.covariate_encoder import COVARIATES
from bmenet.networks.denoiser import Denoiser, Residuals, join_covariates, latent_multiple, unet_keywords
from bmenet.networks.norm import use_channel_norms


class HintControl(nn.Module):
    """Turn the hint ``h = [E(r), E_edge(G(r))]`` into residuals for the denoiser.

    The encoder starts as the denoiser's own; the convolution of the hint is summed with the one of the latent, as if
    both were joined before the first layer. Every residual passes a convolution that starts at zero: an untrained
    control changes nothing. Image latent and edge latent have `latent_channels` each; `reference_variance`, of each
    channel, is that of E(r) about E(x), as it was trained with: see `CleanPrediction`.

    References
    ----------
    Zhang, Rao, Agrawala (2023). Adding conditional control to text-to-image diffusion models.
    doi:10.1109/ICCV51070.2023.00355
    """

    def __init__(
        self, config: DenoiserConfig, latent_channels: int, reference_variance: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.multiple = latent_multiple(config)
        self.reference_variance = reference_variance
        self.network = ControlNet(
            in_channels=latent_channels + len(COVARIATES),
            conditioning_embedding_in_channels=2 * latent_channels,
            # One width: the hint lies on the latent's own grid and is not downsampled.
            conditioning_embedding_num_channels=(config.channels[0],),
            **unet_keywords(config),
        )
        if config.norm == "channel":
            use_channel_norms(self.network)
        # The hint's last convolution need not start at zero: those of the residuals do.
        self.network.controlnet_cond_embedding.conv_out.conv.reset_parameters()

    def copy_encoder(self, denoiser: Denoiser) -> None:
        """Take over the weights of the denoiser's encoder."""
        own = self.network.state_dict()
        shared = {name: tensor for name, tensor in denoiser.network.state_dict().items() if name in own}
        self.network.load_state_dict(shared, strict=False)

    def forward(self, noisy_latent: Tensor, timestep: Tensor, covariates: Tensor, hint: Tensor) -> Residuals:
        """Return the residuals; arguments as of `Denoiser`, and `hint` of shape (B, 2 C, X, Y, Z)."""
        no_covariates = covariates.new_zeros((len(covariates), 0))
        return self.network(
            join_covariates(noisy_latent, covariates, self.multiple),
            timestep,
            join_covariates(hint, no_covariates, self.multiple),
            context=covariates.unsqueeze(1),
        )
