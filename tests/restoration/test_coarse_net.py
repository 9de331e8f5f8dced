from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from bmenet.config import CoarseConfig
from bmenet.imaging.intensity import CANONICAL_BRIGHTNESS
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import build_coarse
from bmenet.networks.slab import PLANE_AXES, central_slice
from bmenet.networks.weights import save_weights
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.phase_encoding import PhaseEncoding
from tests.fine_networks import smoke_config


class Probe(nn.Module):
    """A network that is a function of its input; it keeps the inputs."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.anchor = nn.Parameter(torch.zeros(1))
        self.seen: list[Tensor] = []

    def forward(self, slab: Tensor) -> Tensor:
        self.seen.append(slab.clone())
        return self.function(slab)


@pytest.fixture(scope="module")
def config() -> CoarseConfig:
    """Of three neighbours and three planes, in full precision."""
    return smoke_config().coarse.model_copy(update={"context_slices": 3, "precision": "fp32"})


def restore(network: nn.Module, data: np.ndarray, config: CoarseConfig, *planes: str, dtype=None, **options):
    """Restore in the planes that are named, or in all of `config`."""
    chosen = config.model_copy(update={"planes": list(planes)}) if planes else config
    return CoarseNet(network, chosen, 4, dtype).restore(data, **options)


def plain_mean(function: Callable[[Tensor], Tensor], data: np.ndarray, config: CoarseConfig, *planes) -> np.ndarray:
    """Restore without what makes planes agree: the networks here are no restorations."""
    return restore(Probe(function), data, config, *planes, harmonise=False)


@pytest.mark.parametrize("planes", [["sagittal"], ["axial", "coronal", "sagittal"]])
def test_untrained_network_gives_the_volume_back(config, phantom, planes):
    fractions = []
    restored = restore(build_coarse(config).eval(), phantom.data, config, *planes, progress=fractions.append)
    assert fractions[-1] == 1
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored, phantom.data, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 3000.0])
def test_scale_of_the_input_is_given_back(config: CoarseConfig, phantom: Volume, scale: float) -> None:
    halving = Probe(lambda slab: 0.5 * central_slice(slab, 3))
    data = phantom.data * np.float32(scale)
    restored = restore(halving, data, config, harmonise=False)
    np.testing.assert_allclose(restored, 0.5 * data, rtol=1e-4, atol=1e-5 * scale)
    bright = torch.cat([slab[:, 1] for slab in halving.seen if slab.shape[-1] == 56])
    assert bright[bright > 0.3].mean().item() == pytest.approx(CANONICAL_BRIGHTNESS, rel=0.25)


@pytest.mark.parametrize("plane", sorted(PLANE_AXES))
def test_neighbours_are_the_slices_before_and_after(config: CoarseConfig, phantom: Volume, plane: str) -> None:
    normal = PLANE_AXES[plane]
    shape = [1, 1, 1]
    shape[normal] = -1
    ramp = phantom.data + np.arange(1, phantom.data.shape[normal] + 1, dtype=np.float32).reshape(shape)
    after = plain_mean(lambda slab: slab[:, 2:3], ramp, config, plane)
    expected = np.moveaxis(np.zeros_like(ramp), normal, 0)
    expected[:-1] = np.moveaxis(ramp, normal, 0)[1:]
    np.testing.assert_allclose(np.moveaxis(after, normal, 0), expected, rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_coordinates_lie_where_they_say_in_every_plane(config: CoarseConfig, phantom: Volume, axis: int) -> None:
    # A constant added to the position keeps it positive, as restored intensities are.
    restored = plain_mean(lambda slab: slab[:, 3 + axis : 4 + axis] + 2, phantom.data, config, *PLANE_AXES)
    extent = phantom.data.shape[axis]
    profile = np.moveaxis(restored, axis, 0)
    assert np.ptp(profile.reshape(extent, -1), axis=1).max() < 1e-4 * profile.max()
    steps = np.diff(profile[:, 0, 0])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    assert steps[0] > 0


def test_background_is_exactly_zero_and_nothing_negative(config, phantom):
    restored = plain_mean(lambda slab: central_slice(slab, 3) - 0.5, phantom.data, config)
    assert (restored.min(), restored.max() > 0) == (0, True)
    restored = restore(Probe(lambda slab: central_slice(slab, 3) + 0.01), phantom.data, config)
    assert restored[phantom.data > 0].min() > 0
    background = ~ndimage.binary_dilation(phantom.data > 0, iterations=4)
    assert np.count_nonzero(restored[background]) == 0


def test_half_precision_stays_close_and_the_precision_of_training_decides(config, phantom, monkeypatch):
    monkeypatch.setattr("bmenet.restoration.coarse_net.fastest_dtype", lambda _: torch.bfloat16)
    torch.manual_seed(0)
    network = build_coarse(config).eval()
    nn.init.normal_(network.tail.weight, std=0.01)
    fast = config.model_copy(update={"precision": "auto"})
    full, half, told = (
        restore(network, phantom.data, these, "axial", dtype=dtype)
        for these, dtype in ((config, None), (fast, None), (fast, torch.float32))
    )
    assert 0 < np.abs(full - half).max() < 0.01 * full.max()
    np.testing.assert_array_equal(told, full)


def test_planes_are_made_to_agree_and_brightness_is_kept(config: CoarseConfig, phantom: Volume) -> None:
    """A network that gives every axial slice a brightness of its own, and all less than theirs."""

    def unsure(slab: Tensor) -> Tensor:
        is_axial = slab.shape[-2:] == (40, 56)
        level = torch.linspace(0.8, 1.0, slab.shape[0]).view(-1, 1, 1, 1) if is_axial else 0.9
        return central_slice(slab, 3) * level

    plain = plain_mean(unsure, phantom.data, config, *PLANE_AXES)
    agreed = restore(Probe(unsure), phantom.data, config, *PLANE_AXES)
    inside = phantom.data > 0.4
    unevenness = [(volume[inside] / phantom.data[inside]).std() for volume in (plain, agreed)]
    assert unevenness[1] < 0.4 * unevenness[0]
    assert agreed[inside].mean() == pytest.approx(phantom.data[inside].mean(), rel=0.01)


def test_the_air_of_a_head_is_left_as_the_network_has_it_and_that_of_a_lone_brain_is_empty(
    config: CoarseConfig, phantom: Volume
) -> None:
    network = build_coarse(config).eval()
    alone = restore(network, np.where(phantom.data > 0.1, phantom.data, 0.01), config)
    assert (alone == 0).mean() > 0.3
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, extent) for extent in phantom.data.shape], indexing="ij")
    is_head = x**2 + y**2 + z**2 < 1.2
    head = restore(network, np.where(is_head, np.float32(0.5), np.float32(0.01)), config)
    np.testing.assert_allclose(head[~is_head], 0.01, rtol=0.05)


def test_detail_is_taken_from_the_scan_in_unit_intensities(config: CoarseConfig, phantom: Volume, monkeypatch) -> None:
    """What brings it back gets the agreed planes and the scan on one scale, and its result is what comes out."""

    def take_the_scan(restored: np.ndarray, degraded: np.ndarray, inside: np.ndarray, spacing_mm: float) -> np.ndarray:
        np.testing.assert_allclose(restored, degraded, atol=1e-5)
        return degraded * spacing_mm

    monkeypatch.setattr("bmenet.restoration.coarse_net.bring_back_detail", take_the_scan)
    data = phantom.data * np.float32(500)
    np.testing.assert_allclose(restore(build_coarse(config).eval(), data, config), 4 * data, rtol=1e-5)


def test_the_network_on_disk_is_loaded_once_for_each_state_of_its_weights(config: CoarseConfig, tmp_path) -> None:
    def save(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = build_coarse(config).eval()
        save_weights(tmp_path, "coarse", network, {"spacing_mm": 4, "config": config.model_dump(mode="json")})
        return network

    first = save(0)
    net = CoarseNet.load_once(tmp_path)
    assert CoarseNet.load_once(tmp_path) is net
    assert (net.config, net.spacing_mm, net.device.type) == (config, 4, "cpu")
    assert all(torch.equal(tensor, net.network.state_dict()[name]) for name, tensor in first.state_dict().items())
    save(1)
    assert CoarseNet.load_once(tmp_path) is not net


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_turned_so_that_motion_spreads_along_their_height(config, phantom, monkeypatch, axis):
    turned = config.model_copy(update={"phase_encode_first": True})
    told, asked = Probe(lambda slab: central_slice(slab, 3)), []

    def find(data: np.ndarray, spacing_mm: int) -> PhaseEncoding:
        asked.append(data)
        return PhaseEncoding(axis, "air", 0.8)

    monkeypatch.setattr("bmenet.restoration.coarse_net.find_phase_encoding", find)
    restored = restore(told, phantom.data, turned, phase_encode_axis=axis, harmonise=False)
    np.testing.assert_allclose(restored, phantom.data, rtol=1e-4, atol=1e-6)
    assert not asked
    for slab in told.seen:
        place = slab[:, 3 + axis]
        assert torch.equal(place, place[:, :, :1].expand_as(place))  # along the height alone
        assert (place[:, 1:] > place[:, :-1]).all()
    assert sum(len(slab) for slab in told.seen) == sum(phantom.data.shape) - phantom.data.shape[axis]
    found = restore(Probe(lambda slab: central_slice(slab, 3)), phantom.data, turned, harmonise=False)
    assert len(asked) == 1
    np.testing.assert_array_equal(found, restored)
    net = CoarseNet(Probe(lambda slab: central_slice(slab, 3)), turned, 4, field=lambda data, *_: 1 + data)
    net.restore(phantom.data, harmonise=False)
    np.testing.assert_array_equal(asked[1], asked[0])  # the scan as it came, its field in it
