import pytest
import torch

from bmenet.training.latents import channel_sensitivity


class Decoder(torch.nn.Module):
    """Adds up the channels, each with its own gain."""

    def decode(self, latent):
        return (latent * torch.tensor([2.0, 1.0, 0.1]).view(1, 3, 1, 1, 1)).sum(dim=1, keepdim=True)


def test_sensitivity_is_the_square_of_a_channel_s_gain():
    latent = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    assert channel_sensitivity(Decoder(), latent) == pytest.approx([1, 0.25, 0.0025], rel=1e-3)
