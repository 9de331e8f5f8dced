"""The second stage from the coarse result to the enhanced volume, with untrained networks."""

import numpy as np
import pytest
import torch

from bmenet.networks.compute import fastest_dtype
from bmenet.restoration import fine_net as module
from bmenet.restoration.fine_net import DEFAULT_SAMPLING, FineNet
from bmenet.restoration.torch_networks import TorchNetworks, encode_volume
from bmenet.runtime.errors import ConfigError, WeightsError
from tests.fine_networks import make_fine_net, save_fine_net

SAMPLING = DEFAULT_SAMPLING.model_copy(update={"steps": 3, "start_timestep": 100})


@pytest.fixture(scope="module")
def net() -> FineNet:
    return make_fine_net()


@pytest.fixture
def coarse(phantom) -> np.ndarray:
    return 700 * phantom.data


def _with(**changes):
    return SAMPLING.model_copy(update=changes)


def test_no_strength_gives_the_coarse_result_back(net, coarse):
    np.testing.assert_allclose(net.restore(coarse, _with(strength=0.0)).data, coarse, atol=1e-2)


def test_no_change_in_the_latent_is_no_change_in_the_image(net, coarse, monkeypatch):
    # A sampler that ends at E(r): residual composition must add nothing, however bad the autoencoder.
    latents = []

    def end_at_the_reference(_predict, _constrain, _solver, *_):
        return latents[0]

    def encode(networks, volume):
        latents.append(encode_volume(networks.autoencoder, volume, networks.dtype or fastest_dtype("cpu")))
        return latents[-1]

    monkeypatch.setattr(TorchNetworks, "encode", encode)
    monkeypatch.setattr(module, "sample_latent", end_at_the_reference)
    np.testing.assert_allclose(net.restore(coarse, SAMPLING).data, coarse, atol=1e-2)
    latents.clear()
    assert np.abs(net.restore(coarse, _with(compose="decode")).data - coarse).max() > 100


def test_an_untrained_control_leaves_a_good_reference_as_it_is(coarse):
    free = _with(guidance=SAMPLING.guidance.model_copy(update={"scale": 0.0}))
    nets = make_fine_net(reference_variance=[1e-6] * 3), make_fine_net()
    anchored, published = (np.abs(net.restore(coarse, free).data - coarse).mean() for net in nets)
    assert anchored < 0.02 * published


def test_the_same_seed_gives_the_same_volume_and_the_scale_of_intensities_does_not_matter(net, coarse):
    one, again, other = (net.restore(coarse, SAMPLING, seed).data for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0
    # Rounding to another float, and bfloat16 after it, may tip single voxels.
    assert np.abs(net.restore(coarse / 1000, SAMPLING).data * 1000 - one).mean() < 1


def test_background_stays_empty_and_nothing_is_negative(net, coarse):
    result = net.restore(coarse, _with(compose="decode")).data
    assert (result[:2].max(), result.min()) == (0, 0)


def test_samples_give_their_mean_and_spread(net, coarse):
    told = []
    result = net.restore(coarse, _with(samples=2), seed=5, progress=told.append)
    assert told == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    assert result.std[coarse > 0].mean() > 0
    assert result.std[:2].max() == 0
    single = net.restore(coarse, SAMPLING, seed=5)
    assert single.std is None
    assert np.abs(single.data - result.data).max() > 0


def test_constraint_and_solver_are_what_the_sampling_says(net, coarse):
    free = _with(guidance=SAMPLING.guidance.model_copy(update={"scale": 0.0}))
    guided = _with(guidance=SAMPLING.guidance.model_copy(update={"scale": 0.5}))
    other = "ddim" if free.solver != "ddim" else "dpmsolver++"
    results = [net.restore(coarse, s).data for s in (free, guided, free.model_copy(update={"solver": other}))]
    assert np.abs(results[0] - results[1]).max() > 1
    assert not np.array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"start_timestep": 700}, "start_timestep: expected at most 400.*got 700"),
        ({"start": "noise"}, "got 999"),
        ({"steps": 102}, "steps: expected at most 101.*got 102"),
    ],
)
def test_what_the_networks_were_not_trained_for_is_refused(net, coarse, changes, named):
    with pytest.raises(ConfigError, match=named):
        net.restore(coarse, _with(**changes))


def test_networks_on_disk_are_the_networks_in_memory_and_a_missing_one_is_named(net, coarse, tmp_path):
    save_fine_net(net, tmp_path)
    loaded = FineNet.from_folder(tmp_path)
    np.testing.assert_array_equal(loaded.restore(coarse, SAMPLING).data, net.restore(coarse, SAMPLING).data)
    (tmp_path / "denoiser" / "model.json").unlink()
    with pytest.raises(WeightsError, match=r"denoiser/model\.json.*dvc repro train_denoiser"):
        FineNet.from_folder(tmp_path)


def test_edge_hint_matters_only_to_a_trained_control(coarse):
    net = make_fine_net()

    def matters() -> bool:
        blind = net.without_edge_hint()
        return not np.array_equal(net.restore(coarse, SAMPLING).data, blind.restore(coarse, SAMPLING).data)

    assert not matters()
    with torch.no_grad():
        torch.nn.init.normal_(net.networks.control.network.controlnet_mid_block.conv.weight, std=0.3)
    assert matters()
