import pytest
import torch

from bmenet.losses.edge import edge_loss, gradient_magnitude
from bmenet.losses.ssim import structural_similarity


@pytest.mark.parametrize("slopes", [(0.3, 0.4), (0.2, 0.3, 0.6)])
def test_gradient_magnitude_of_a_ramp_is_its_slope(slopes):
    axes = torch.meshgrid(*[torch.arange(6, dtype=torch.float32)] * len(slopes), indexing="ij")
    ramp = sum(slope * axis for slope, axis in zip(slopes, axes, strict=True))[None, None]
    inner = gradient_magnitude(ramp, len(slopes))[(..., *[slice(1, -1)] * len(slopes))]
    expected = sum(slope**2 for slope in slopes) ** 0.5
    torch.testing.assert_close(inner, torch.full_like(inner, expected), atol=2e-3, rtol=0)


def test_gradient_magnitude_is_zero_and_smooth_where_the_slice_is_flat():
    flat = torch.full((1, 1, 5, 5), 0.7, requires_grad=True)
    magnitude = gradient_magnitude(flat, 2)
    assert magnitude.abs().max() == 0
    magnitude.sum().backward()
    assert torch.isfinite(flat.grad).all()
    with pytest.raises(ValueError, match="expected `spatial_dims` 2 or 3"):
        gradient_magnitude(flat, 3)


def test_edge_loss_sees_a_lost_edge_but_not_a_shift_of_brightness():
    clean = torch.zeros(1, 1, 8, 8)
    clean[..., 4:] = 0.5
    assert edge_loss(clean + 0.2, clean) < 1e-6
    assert edge_loss(torch.full_like(clean, 0.25), clean) > 0.05


def test_similarity_of_flat_slices_is_the_luminance_term():
    # Wang et al. (2004), eq. 6, for means 0.5 and 0.25: 0.2501 / 0.3126
    dark, bright = torch.full((1, 1, 16, 16), 0.25), torch.full((1, 1, 16, 16), 0.5)
    torch.testing.assert_close(structural_similarity(dark, bright), torch.tensor(0.2501 / 0.3126), rtol=1e-4, atol=0)


def test_similarity_falls_with_noise_and_has_a_gradient():
    torch.manual_seed(0)
    clean = torch.rand(1, 1, 32, 32)
    noise = torch.randn_like(clean)
    torch.testing.assert_close(structural_similarity(clean, clean), torch.tensor(1.0))
    weak, strong = (structural_similarity(clean + sigma * noise, clean) for sigma in (0.05, 0.3))
    assert 1 > weak > strong > 0
    noisy = (clean + 0.1 * noise).requires_grad_()
    (1 - structural_similarity(noisy, clean)).backward()
    better = noisy.detach() - 10 * noisy.grad
    assert structural_similarity(better, clean) > structural_similarity(noisy, clean)
