import pytest
import torch

from bmenet.losses.denoising import edge_weights, weighted_square_loss


def test_edge_weights_have_their_mean_and_their_place(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    assert torch.equal(edge_weights(volume, 4, 0.0), torch.ones(1, 1, 10, 14, 10))
    weights = edge_weights(volume, 4, 2.0)
    assert float(weights.mean()) == pytest.approx(3, rel=1e-4)
    assert float(weights[0, 0, 0, 0, 0]) == pytest.approx(1, abs=0.01)
    assert float(weights.max()) > 5


def test_loss_weighs_an_error_by_where_it_is():
    noise = torch.zeros(1, 2, 2, 1, 1)
    predicted = noise.clone()
    predicted[0, :, 0] = 1
    weights = torch.tensor([3.0, 1.0]).view(1, 1, 2, 1, 1)
    assert float(weighted_square_loss(predicted, noise)) == pytest.approx(0.5)
    assert float(weighted_square_loss(predicted, noise, weights)) == pytest.approx(0.75)
    assert float(weighted_square_loss(predicted.flip(2), noise, weights)) == pytest.approx(0.25)
