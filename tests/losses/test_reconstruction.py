import pytest
import torch

from bmenet.losses.reconstruction import ReconstructionLoss
from tests.fine_networks import smoke_config


@pytest.fixture
def loss() -> ReconstructionLoss:
    config = smoke_config().autoencoder
    return ReconstructionLoss(config.model_copy(update={"kl_weight": 1e-3}))


@pytest.fixture
def latent():
    return torch.zeros(1, 3, 4, 4, 4), torch.ones(1, 3, 4, 4, 4)


def test_a_perfect_reconstruction_of_a_standard_latent_costs_nothing(loss, latent):
    volume = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    total, terms = loss(volume, volume, *latent)
    assert float(total) == pytest.approx(0, abs=1e-6)
    assert set(terms) == {"l1", "gradient", "ssim", "kl"}


def test_every_term_has_a_say(loss, latent):
    volume = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    total, terms = loss(volume.flip(2), volume, *latent)
    weighted = sum(loss.weights[name] * float(term) for name, term in terms.items())
    assert float(total) == pytest.approx(weighted, rel=1e-5)
    assert min(float(terms[name]) for name in ("l1", "gradient", "ssim")) > 0.1


def test_divergence_is_that_of_two_gaussians_and_does_not_depend_on_the_crop(loss):
    # KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s for each latent voxel.
    values = []
    for size in (8, 16):
        volume = torch.zeros(1, 1, size, size, size)
        shape = (1, 3, size // 4, size // 4, size // 4)
        _, terms = loss(volume, volume, torch.full(shape, 2.0), torch.full(shape, 0.5))
        values.append(float(terms["kl"]))
    expected = ((4 + 0.25 - 1) / 2 - torch.log(torch.tensor(0.5)).item()) * 3 / 64
    assert values == pytest.approx([expected, expected], rel=1e-5)
