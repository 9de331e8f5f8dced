import pytest
import torch

from bmenet.losses.edge import edge_loss, gradient_magnitude


@pytest.mark.parametrize("slopes", [(0.3, 0.4), (0.2, 0.3, 0.6)])
def test_gradient_magnitude_of_a_ramp_is_its_slope(slopes: tuple[float, ...]) -> None:
    axes = torch.meshgrid(*[torch.arange(6, dtype=torch.float32)] * len(slopes), indexing="ij")
    ramp = sum(slope * axis for slope, axis in zip(slopes, axes, strict=True))[None, None]
    inner = gradient_magnitude(ramp, len(slopes))[(..., *[slice(1, -1)] * len(slopes))]
    expected = sum(slope**2 for slope in slopes) ** 0.5
    torch.testing.assert_close(inner, torch.full_like(inner, expected), atol=2e-3, rtol=0)


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
