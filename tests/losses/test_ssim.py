import torch

from bmenet.losses.ssim import structural_similarity


def test_similarity_of_flat_slices_is_the_luminance_term() -> None:
    # Wang et al. (2004), eq. 6, for means 0.5 and 0.25: 0.2501 / 0.3126
    dark, bright = torch.full((1, 1, 16, 16), 0.25), torch.full((1, 1, 16, 16), 0.5)
    torch.testing.assert_close(structural_similarity(dark, bright), torch.tensor(0.2501 / 0.3126), rtol=1e-4, atol=0)


def test_similarity_falls_with_noise_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    clean = torch.rand(1, 1, 32, 32)
    noise = torch.randn_like(clean)
    torch.testing.assert_close(structural_similarity(clean, clean), torch.tensor(1.0))
    weak, strong = (structural_similarity(clean + sigma * noise, clean) for sigma in (0.05, 0.3))
    assert 1 > weak > strong > 0
    noisy = (clean + 0.1 * noise).requires_grad_()
    (1 - structural_similarity(noisy, clean)).backward()
    assert noisy.grad is not None
    better = noisy.detach() - 10 * noisy.grad
    assert structural_similarity(better, clean) > structural_similarity(noisy, clean)
