"""The loss of the control: what it weighs, and what the reference in the hint is to it."""

import pytest
import torch
from torch import Tensor

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.runtime.errors import TrainingError
from bmenet.training.control import ControlTask, _reference_variance
from bmenet.training.known_covariates import informed_covariates
from bmenet.training.latents import channel_sensitivity
from tests.training.conftest import SPLIT

SHAPE = (1, 3, 16, 16, 16)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """A latent, its noise, and a hint that says nothing."""
    generator = torch.Generator().manual_seed(0)
    batch = {name: torch.randn(SHAPE, generator=generator) for name in ("latent", "noise")}
    batch |= {"hint": torch.zeros(1, 6, 16, 16, 16), "edges": torch.ones(1, 1, 16, 16, 16)}
    return batch | {"covariates": torch.zeros(1, 4), "timestep": torch.tensor([100])}


def loss(
    config: Config,
    batch: dict[str, Tensor],
    answer: Tensor,
    variance: list[float] | None = None,
    channel_weights: tuple[float, ...] = (1.0, 1.0, 1.0),
    **changes: float,
) -> float:
    """Return the loss of a denoiser that gives an answer, whatever it is asked."""
    fine = config.fine.model_copy(update={"edge_weight": 0.0, **changes})
    task = ControlTask(config.model_copy(update={"fine": fine}), Layout(), SPLIT)
    task.denoiser = lambda *_: answer  # type: ignore[assignment]
    task.reference_variance, task.channel_weights = variance, list(channel_weights)
    return float(task.loss(lambda *_: None, batch)[0])  # type: ignore[arg-type]


def test_edges_are_left_out_of_the_hint_as_often_as_told(config: Config) -> None:
    fine = config.fine.model_copy(update={"edge_dropout": 0.25})
    task = ControlTask(config.model_copy(update={"fine": fine}), Layout(), SPLIT)
    hint = torch.ones(4, 6, 2, 2, 2)
    shown = task._hint({"hint": hint, "die": torch.tensor([0.0, 0.2, 0.25, 0.9])})
    assert shown[:, :3].min() == 1
    assert shown[:, 3:].amax(dim=(1, 2, 3, 4)).tolist() == [0, 0, 1, 1]
    assert torch.equal(task._hint({"hint": hint}), hint)


def test_edges_weigh_more(config: Config, batch: dict[str, Tensor]) -> None:
    batch["edges"][:, :, :8] = 3
    wrong_at_edges = batch["noise"].clone()
    wrong_at_edges[:, :, :8] += 1
    assert loss(config, batch, wrong_at_edges) == pytest.approx(0.5, rel=1e-4)
    assert loss(config, batch, wrong_at_edges, edge_weight=2.0) == pytest.approx(5 / 6, rel=1e-4)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_channels_weigh_by_what_they_do_to_the_image(config: Config, batch: dict[str, Tensor], channel: int) -> None:
    wrong = batch["noise"].clone()
    wrong[:, channel] += 1
    weights = (1.0, 0.5, 0.1)
    assert loss(config, batch, wrong) == pytest.approx(1 / 3, rel=1e-4)
    assert loss(config, batch, wrong, None, weights) == pytest.approx(weights[channel] / 1.6, rel=1e-4)


def test_the_reference_in_the_hint_is_a_witness(config: Config, batch: dict[str, Tensor]) -> None:
    variance = 0.04
    error = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    reference, nothing = batch["latent"] + variance**0.5 * error, torch.zeros(SHAPE)
    witness, edges = ({"hint": torch.cat(pair, dim=1)} for pair in ((reference, nothing), (nothing, reference)))
    # A denoiser that sees no noise anywhere: what is left is as large as the spread, hence a loss of 1.
    assert loss(config, batch | witness, nothing, [variance] * 3) == pytest.approx(1, rel=0.1)
    assert loss(config, batch | edges, nothing, [variance] * 3) > 5


def test_variance_of_the_reference_is_measured_inside_the_head() -> None:
    latent = torch.zeros(3, 4, 4, 4)
    reference = latent.clone()
    reference[:, :2] = 0.5
    edges = torch.ones(1, 4, 4, 4)
    edges[:, :2] = 2
    example = {"latent": latent, "hint": torch.cat([reference, latent]), "edges": edges}
    assert _reference_variance([example]) == pytest.approx([0.25] * 3)
    with pytest.raises(TrainingError, match=r"got a variance of \[0\.0"):
        _reference_variance([example | {"hint": torch.cat([latent, latent])}])


def test_a_covariate_that_nobody_tells_is_not_informed() -> None:
    people = {"a": {"age": None, "sex": "F"}, "b": {"age": None, "sex": None}}
    assert informed_covariates(people, ["a", "b", "c"]) == [True, False, True, True]
    assert informed_covariates(people, ["b"]) == [False, False, True, True]


class Decoder(torch.nn.Module):
    """Adds up the channels, each with its own gain."""

    def decode(self, latent):
        return (latent * torch.tensor([2.0, 1.0, 0.1]).view(1, 3, 1, 1, 1)).sum(dim=1, keepdim=True)


def test_sensitivity_is_the_square_of_a_channel_s_gain():
    latent = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    assert channel_sensitivity(Decoder(), latent) == pytest.approx([1, 0.25, 0.0025], rel=1e-3)
