import pytest
import torch

from bmenet.config import CoarseConfig
from bmenet.losses.coarse import PIXEL_LOSSES, CoarseLoss
from bmenet.losses.reconstruction import ReconstructionLoss
from tests.fine_networks import smoke_config

LATENT = torch.zeros(1, 3, 4, 4, 4), torch.ones(1, 3, 4, 4, 4)


def weighted(**changes: object) -> CoarseConfig:
    return smoke_config().coarse.model_copy(update=changes)


@pytest.fixture
def reconstruction() -> ReconstructionLoss:
    return ReconstructionLoss(smoke_config().autoencoder.model_copy(update={"kl_weight": 1e-3}))


@pytest.fixture
def volume() -> torch.Tensor:
    return torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pixel_loss", sorted(PIXEL_LOSSES))
def test_total_is_the_weighted_sum_of_the_terms_and_pixel_losses_grow_with_the_error(pixel_loss):
    named = {"pixel": 3.0, "ssim": 0.5, "edge": 2.0}
    loss = CoarseLoss(weighted(pixel_loss=pixel_loss, **{f"{name}_weight": w for name, w in named.items()}))
    clean = torch.rand(2, 1, 16, 16)
    total, terms = loss(torch.rand(2, 1, 16, 16), clean)
    torch.testing.assert_close(total, sum(named[name] * term for name, term in terms.items()))
    small, large = (PIXEL_LOSSES[pixel_loss](clean + error, clean) for error in (0.01, 0.1))
    assert small < large


def test_log_mse_is_the_mean_over_samples_and_counts_decibels_alike_for_good_and_for_bad_ones():
    clean = torch.rand(2, 1, 16, 16)
    loss = PIXEL_LOSSES["log_mse"]
    gains = [(loss(clean + error, clean) - loss(clean + error / 2, clean)).item() for error in (0.4, 0.1)]
    assert gains == pytest.approx([0.6, 0.6], abs=0.02)
    restored = clean + torch.tensor([0.3, 0.01]).view(2, 1, 1, 1)
    each = [loss(restored[[i]], clean[[i]]) for i in (0, 1)]
    torch.testing.assert_close(loss(restored, clean), (each[0] + each[1]) / 2)


def test_loss_sees_little_of_a_negative_result():
    clean = torch.zeros(1, 1, 16, 16)
    loss = CoarseLoss(weighted(pixel_loss="l1"))
    below, above = (loss(clean + error, clean)[1]["pixel"].item() for error in (-0.2, 0.2))
    assert above == pytest.approx(0.2)
    assert below == pytest.approx(0.01)


def test_a_perfect_reconstruction_of_a_standard_latent_costs_nothing_and_every_term_has_a_say(reconstruction, volume):
    total, _ = reconstruction(volume, volume, *LATENT)
    assert float(total) == pytest.approx(0, abs=1e-6)
    total, terms = reconstruction(volume.flip(2), volume, *LATENT)
    weighted_terms = sum(reconstruction.weights[name] * float(term) for name, term in terms.items())
    assert float(total) == pytest.approx(weighted_terms, rel=1e-5)
    assert min(float(terms[name]) for name in ("l1", "gradient", "ssim")) > 0.1


def test_divergence_is_that_of_two_gaussians_and_does_not_depend_on_the_crop(reconstruction):
    # KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s for each latent voxel.
    values = []
    for size in (8, 16):
        volume = torch.zeros(1, 1, size, size, size)
        shape = (1, 3, size // 4, size // 4, size // 4)
        _, terms = reconstruction(volume, volume, torch.full(shape, 2.0), torch.full(shape, 0.5))
        values.append(float(terms["kl"]))
    expected = ((4 + 0.25 - 1) / 2 - torch.log(torch.tensor(0.5)).item()) * 3 / 64
    assert values == pytest.approx([expected, expected], rel=1e-5)
