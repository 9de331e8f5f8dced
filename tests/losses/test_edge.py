import pytest
import torch

from bmenet.losses.edge import edge_loss, gradient_magnitude


def test_gradient_magnitude_of_a_ramp_is_its_slope() -> None:
    x = torch.arange(8, dtype=torch.float32)
    ramp = (0.3 * x[:, None] + 0.4 * x[None, :]).expand(1, 1, 8, 8)
    torch.testing.assert_close(
        gradient_magnitude(ramp, 2)[..., 1:-1, 1:-1], torch.full((1, 1, 6, 6), 0.5), atol=2e-3, rtol=0
    )


def test_gradient_magnitude_of_a_3d_ramp_is_its_slope() -> None:
    x = torch.arange(6, dtype=torch.float32)
    ramp = (0.2 * x[:, None, None] + 0.3 * x[None, :, None] + 0.6 * x[None, None, :])[None, None]
    expected = torch.full((1, 1, 4, 4, 4), 0.7)
    torch.testing.assert_close(gradient_magnitude(ramp, 3)[..., 1:-1, 1:-1, 1:-1], expected, atol=2e-3, rtol=0)


def test_gradient_magnitude_is_zero_and_smooth_where_the_slice_is_flat() -> None:
    flat = torch.full((1, 1, 5, 5), 0.7, requires_grad=True)
    magnitude = gradient_magnitude(flat, 2)
    assert magnitude.abs().max() == 0
    magnitude.sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize(("shape", "spatial_dims"), [((1, 1, 4, 4), 3), ((1, 1, 4), 1)])
def test_gradient_magnitude_refuses_a_wrong_number_of_axes(shape: tuple, spatial_dims: int) -> None:
    with pytest.raises(ValueError, match="expected `spatial_dims` 2 or 3"):
        gradient_magnitude(torch.zeros(shape), spatial_dims)


def test_edge_loss_sees_a_lost_edge_but_not_a_shift_of_brightness() -> None:
    clean = torch.zeros(1, 1, 8, 8)
    clean[..., 4:] = 0.5
    assert edge_loss(clean + 0.2, clean) < 1e-6
    assert edge_loss(torch.full_like(clean, 0.25), clean) > 0.05
