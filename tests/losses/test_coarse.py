import pytest
import torch

from bmenet.config import CoarseConfig
from bmenet.config.profiles import load_profile
from bmenet.losses.coarse import PIXEL_LOSSES, CoarseLoss


def weighted(**changes: object) -> CoarseConfig:
    return load_profile("smoke").coarse.model_copy(update=changes)


@pytest.mark.parametrize("pixel_loss", sorted(PIXEL_LOSSES))
@pytest.mark.parametrize("weights", [(3.0, 0.5, 2.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)])
def test_total_is_the_weighted_sum_of_the_terms(pixel_loss: str, weights: tuple[float, ...]) -> None:
    named = dict(zip(("pixel", "ssim", "edge"), weights, strict=True))
    loss = CoarseLoss(weighted(pixel_loss=pixel_loss, **{f"{name}_weight": w for name, w in named.items()}))
    total, terms = loss(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16))
    torch.testing.assert_close(total, sum(named[name] * term for name, term in terms.items()))


@pytest.mark.parametrize("pixel_loss", sorted(PIXEL_LOSSES))
def test_pixel_losses_grow_with_the_error(pixel_loss: str) -> None:
    clean = torch.rand(2, 1, 16, 16)
    small, large = (PIXEL_LOSSES[pixel_loss](clean + error, clean) for error in (0.01, 0.1))
    assert small < large


def test_mse_of_a_known_error() -> None:
    clean = torch.rand(1, 1, 16, 16)
    _, terms = CoarseLoss(weighted(pixel_loss="mse"))(clean + 0.1, clean)
    assert terms["pixel"].item() == pytest.approx(0.01, rel=1e-4)


def test_log_mse_counts_decibels_alike_for_good_and_for_bad_samples() -> None:
    clean = torch.rand(1, 1, 16, 16)
    loss = PIXEL_LOSSES["log_mse"]
    gains = [(loss(clean + error, clean) - loss(clean + error / 2, clean)).item() for error in (0.4, 0.1)]
    assert gains == pytest.approx([0.6, 0.6], abs=0.02)


def test_log_mse_is_the_mean_over_samples_not_over_pixels() -> None:
    clean = torch.rand(2, 1, 16, 16)
    restored = clean + torch.tensor([0.3, 0.01]).view(2, 1, 1, 1)
    each = [PIXEL_LOSSES["log_mse"](restored[[i]], clean[[i]]) for i in (0, 1)]
    torch.testing.assert_close(PIXEL_LOSSES["log_mse"](restored, clean), (each[0] + each[1]) / 2)


def test_loss_sees_little_of_a_negative_result() -> None:
    clean = torch.zeros(1, 1, 16, 16)
    loss = CoarseLoss(weighted(pixel_loss="l1"))
    below, above = (loss(clean + error, clean)[1]["pixel"].item() for error in (-0.2, 0.2))
    assert above == pytest.approx(0.2)
    assert below == pytest.approx(0.01)
