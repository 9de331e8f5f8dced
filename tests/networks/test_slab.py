import numpy as np
import pytest
import torch

from bmenet.networks.slab import (
    PLANE_AXES,
    central_slice,
    coordinate_channels,
    input_channels,
    pad_to_multiple,
    slice_axes,
)


@pytest.mark.parametrize("plane", sorted(PLANE_AXES))
def test_coordinate_channels_are_the_voxels_own_position(plane: str) -> None:
    shape = (4, 6, 8)
    whole = np.stack(np.meshgrid(*[(2 * np.arange(n) + 1) / n - 1 for n in shape], indexing="ij"))
    expected = np.moveaxis(whole, 1 + PLANE_AXES[plane], 0)[1:3, :, 1:3, 2:4]
    channels = coordinate_channels(slice_axes([plane])[0], (1, 1, 2), (2, 2, 2), shape)
    np.testing.assert_allclose(channels.numpy(), expected, atol=1e-6)


def test_coordinate_channels_agree_between_spacings() -> None:
    fine = coordinate_channels((2, 0, 1), (0, 0, 0), (1, 160, 224), (160, 224, 160))
    coarse = coordinate_channels((2, 0, 1), (0, 0, 0), (1, 80, 112), (80, 112, 80))
    blocks = fine[0, :2].reshape(2, 80, 2, 112, 2).mean(dim=(2, 4))
    torch.testing.assert_close(blocks, coarse[0, :2])


def test_the_central_slice_is_the_middle_of_the_context_and_padding_is_background_at_the_ends() -> None:
    slab = torch.arange(input_channels(5), dtype=torch.float32).view(1, -1, 1, 1)
    assert central_slice(slab, 5).item() == 2
    padded = pad_to_multiple(torch.ones(1, 2, 5, 8), 4)
    assert padded.shape == (1, 2, 8, 8)
    assert padded[..., :5, :].min() == 1
    assert padded[..., 5:, :].max() == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_know_the_phase_encode_axis_have_it_as_height(axis: int) -> None:
    found = slice_axes(list(PLANE_AXES), axis)
    assert len(found) == 2
    for normal, height, width in found:
        assert height == axis
        assert {normal, height, width} == {0, 1, 2}


def test_coordinates_follow_the_axes_of_a_turned_slice() -> None:
    turned, plain = (coordinate_channels(axes, (1, 2, 1), (2, 3, 3), (6, 7, 8)) for axes in ((2, 1, 0), (2, 0, 1)))
    whole = coordinate_channels((2, 0, 1), (1, 0, 0), (2, 6, 7), (6, 7, 8))
    assert torch.equal(turned, whole[:, :, 1:4, 2:5].transpose(-1, -2))
    assert torch.equal(plain, whole[:, :, 2:5, 1:4])
