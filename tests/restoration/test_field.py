"""The field network in the first stage: found in unit intensities, taken out before slices are restored."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bmenet.imaging.grid import standard_grid
from bmenet.imaging.template import load_template
from bmenet.networks.coarse import build_coarse, first_stage_digest
from bmenet.networks.field import FieldNet
from bmenet.networks.weights import weights_digest
from bmenet.restoration.coarse_net import CoarseNet
from bmenet.restoration.field import FieldFinder
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import read_json, write_json
from tests.bundled import save_field, save_networks
from tests.fine_networks import smoke_config


class Answer(nn.Module):
    """A network without parameters that answers as a function says."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, head: Tensor) -> Tensor:
        return self.function(head)


def ramp(head: Tensor) -> Tensor:
    """Tell a field that rises from left to right."""
    return torch.linspace(-0.5, 0.5, head.shape[2]).view(1, 1, -1, 1, 1).expand(head.shape)


@pytest.fixture
def is_certain(monkeypatch) -> None:
    """Take every field that is found for true."""
    monkeypatch.setattr("bmenet.restoration.field._ERROR", 0.0)


def test_a_field_that_may_be_an_error_is_none_and_a_large_one_is_hardly_weakened(phantom):
    found = [np.log(FieldFinder(Answer(lambda head, a=a: a * ramp(head)))(phantom.data, 4)) for a in (0.1, 0.4, 1.0)]
    told = ramp(torch.zeros(1, 1, *phantom.data.shape))[0, 0].numpy()
    parts = [np.ptp(log_field) / (a * np.ptp(told)) for log_field, a in zip(found, (0.1, 0.4, 1.0), strict=True)]
    assert parts[0] == 0
    assert 0.7 < parts[1] < parts[2]
    assert 0.95 < parts[2] < 1


def test_untrained_network_finds_no_field(phantom):
    field = FieldFinder(FieldNet(smoke_config().field).eval())(phantom.data, 4)
    assert (field.dtype, field.shape) == (np.float32, phantom.data.shape)
    np.testing.assert_array_equal(field, 1)


@pytest.mark.usefixtures("is_certain")
@pytest.mark.parametrize("gain", [0.2, 7.0])
def test_a_global_gain_is_no_field(phantom, gain):
    plain = FieldFinder(Answer(ramp))(phantom.data, 4)
    raised = FieldFinder(Answer(lambda head: ramp(head) + np.log(gain)))(phantom.data, 4)
    np.testing.assert_allclose(raised, plain, rtol=1e-5)
    assert np.log(plain[phantom.data > 0.3]).mean() == pytest.approx(0, abs=1e-5)
    assert plain.max() / plain.min() == pytest.approx(np.e, rel=0.01)


@pytest.mark.usefixtures("is_certain")
@pytest.mark.parametrize("spacing_mm", [1, 2])
def test_network_sees_four_millimetres_and_its_answer_is_on_the_grid_of_the_volume(spacing_mm):
    shapes = []
    volume = load_template(standard_grid(spacing_mm)).data
    field = FieldFinder(Answer(lambda head: shapes.append(head.shape) or ramp(head)))(volume, spacing_mm)
    assert shapes == [(1, 1, 40, 56, 40)]
    assert field.shape == volume.shape
    assert np.ptp(field, axis=(1, 2)).max() < 1e-5
    assert np.diff(field[:, 0, 0]).max() < 0.03


@pytest.mark.usefixtures("is_certain")
def test_an_absurd_field_is_bounded(phantom):
    field = FieldFinder(Answer(lambda head: 100 * ramp(head)))(phantom.data, 4)
    assert (field.min(), field.max()) == pytest.approx((np.exp(-1.6), np.exp(1.6)), rel=1e-5)


@pytest.mark.usefixtures("is_certain")
@pytest.mark.parametrize("scale", [1.0, 900.0])
def test_the_field_is_taken_out_before_slices_are_restored_and_the_scale_is_given_back(phantom, scale):
    config = smoke_config().coarse.model_copy(update={"precision": "fp32"})
    field = np.exp(ramp(torch.zeros(1, 1, *phantom.data.shape))[0, 0].numpy())
    net = CoarseNet(build_coarse(config).eval(), config, 4, field=FieldFinder(Answer(ramp)))
    restored = net.restore(scale * phantom.data * field)
    bright = phantom.data > 0.3
    quotient = restored[bright] / phantom.data[bright]
    assert quotient.std() < 1e-3 * quotient.mean()
    # The field's mean over bright tissue is 1, so the brightness is nearly kept.
    assert quotient.mean() == pytest.approx(scale, rel=0.05)


@pytest.fixture
def weights(tmp_path):
    """A folder with both networks of the first stage."""
    save_networks(tmp_path / "all")
    for kind in ("coarse", "field"):
        shutil.copytree(tmp_path / "all" / kind, tmp_path / "weights" / kind)
    return tmp_path / "weights"


def test_a_first_stage_has_the_field_network_that_lies_beside_it_or_none(weights, phantom):
    data = (phantom.data + 0.01).astype(np.float32)
    both = CoarseNet.from_folder(weights / "coarse", dtype=torch.float32)
    assert both.field is not None
    with_field = both.restore(data)
    shutil.rmtree(weights / "field")
    alone = CoarseNet.from_folder(weights / "coarse", dtype=torch.float32)
    assert alone.field is None
    assert np.abs(with_field - alone.restore(data)).max() > 1e-3


def test_one_digest_names_both_networks_and_they_are_loaded_once(weights):
    digest, net = first_stage_digest(weights / "coarse"), CoarseNet.load_once(weights / "coarse")
    assert CoarseNet.load_once(weights / "coarse") is net
    save_field(weights, level=0.1)
    assert first_stage_digest(weights / "coarse") != digest
    assert CoarseNet.load_once(weights / "coarse") is not net
    shutil.rmtree(weights / "field")
    assert first_stage_digest(weights / "coarse") == weights_digest(weights / "coarse")
    assert CoarseNet.load_once(weights / "coarse").field is None


def test_a_field_network_that_the_coarse_net_was_not_trained_with_is_refused(weights):
    path = weights / "coarse" / "model.json"
    write_json(path, read_json(path) | {"parents": {"field": weights_digest(weights / "field")}})
    assert CoarseNet.from_folder(weights / "coarse").field is not None
    save_field(weights, level=0.1)
    with pytest.raises(WeightsError, match=r"trained with another field .*dvc repro train_coarse"):
        CoarseNet.from_folder(weights / "coarse")
    shutil.rmtree(weights / "field")
    with pytest.raises(WeightsError, match="expected the field that it was trained with in a folder beside it"):
        CoarseNet.from_folder(weights / "coarse")


def test_field_networks_number_format_is_that_of_the_first_stage(phantom, monkeypatch):
    seen = []
    monkeypatch.setattr("bmenet.restoration.coarse_net.fastest_dtype", lambda _: torch.bfloat16)
    network = Answer(
        lambda head: (
            seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32)
            or ramp(head)
        )
    )
    for precision in ("auto", "fp32"):
        config = smoke_config().coarse.model_copy(update={"precision": precision, "planes": ["axial"]})
        CoarseNet(build_coarse(config).eval(), config, 4, field=FieldFinder(network)).restore(phantom.data)
    assert seen == [torch.bfloat16, torch.float32]
