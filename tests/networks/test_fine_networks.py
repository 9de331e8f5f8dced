"""Contracts of the second stage's networks."""

import pytest
import torch

from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.covariate_encoder import COVARIATES, CovariateEncoder, scale_covariates
from tests.fine_networks import make_fine_net, smoke_config


@pytest.fixture(scope="module")
def config():
    return smoke_config()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(2, 3, 5, 7, 5, generator=generator)
    hint = torch.randn(2, 6, 5, 7, 5, generator=generator)
    return latent, torch.tensor([10, 900]), torch.rand(2, 4, generator=generator), hint


@torch.no_grad()
def test_an_untrained_control_is_the_denoiser_s_encoder_and_changes_nothing(inputs):
    latent, timestep, covariates, hint = inputs
    net = make_fine_net()
    own = net.networks.control.network.state_dict()
    for name, tensor in net.networks.denoiser.network.state_dict().items():
        if name.startswith(("conv_in", "time_embed", "down_blocks", "middle_block")):
            assert torch.equal(own[name], tensor), name
    residuals = net.networks.control(latent, timestep, covariates, hint)
    assert all(float(tensor.abs().max()) == 0 for tensor in [*residuals[0], residuals[1]])
    alone = net.networks.denoiser(latent, timestep, covariates)
    assert float(alone.abs().max()) > 0
    torch.testing.assert_close(net.networks.denoiser(latent, timestep, covariates, residuals), alone, rtol=0, atol=0)


def test_control_learns_from_its_first_step_and_then_sees_the_hint(config, inputs):
    latent, timestep, covariates, hint = inputs
    net = make_fine_net()
    control = net.networks.control.requires_grad_(True)
    optimiser = torch.optim.SGD(control.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        net.networks.denoiser(
            latent, timestep, covariates, control(latent, timestep, covariates, hint)
        ).square().mean().backward()
        optimiser.step()
    assert all(parameter.grad is None for parameter in net.networks.denoiser.parameters())
    with torch.no_grad():
        one, other = (control(latent, timestep, covariates, tensor)[1] for tensor in (hint, -hint))
    assert float((one - other).abs().max()) > 0


@torch.no_grad()
def test_denoiser_takes_a_latent_that_does_not_halve_evenly_and_looks_at_timestep_and_covariates(inputs):
    latent, timestep, covariates, _ = inputs
    denoiser = make_fine_net().networks.denoiser
    base = denoiser(latent, timestep, covariates)
    assert base.shape == latent.shape
    assert not torch.allclose(base, denoiser(latent, timestep + 50, covariates))
    assert not torch.allclose(base, denoiser(latent, timestep, 1 - covariates))


@torch.no_grad()
def test_autoencoder_scales_its_latents_and_undoes_it(config, phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    torch.manual_seed(0)
    plain = LatentAutoencoder(config.autoencoder)
    scaled = LatentAutoencoder(config.autoencoder, shift=[1.0, 2.0, 3.0], scale=[4.0, 5.0, 6.0])
    scaled.load_state_dict(plain.state_dict())
    shift, scale = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]))
    torch.testing.assert_close(scaled.encode(volume), (plain.encode(volume) - shift) * scale)
    torch.testing.assert_close(scaled.decode(scaled.encode(volume)), plain.decode(plain.encode(volume)))
    assert plain.encode(volume).shape == (1, 3, 10, 14, 10)


@torch.no_grad()
def test_channel_norm_makes_a_crop_see_what_the_whole_volume_sees_and_has_a_group_norm_s_parameters(config):
    # Away from a crop's rim the latent must be the same, whatever lies outside: a group norm's is not.
    volume = torch.zeros(1, 1, 80, 80, 80)
    volume[:, :, :64, :64, :64] = torch.rand(64, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = LatentAutoencoder(config.autoencoder)
    whole, crop = network.encode(volume), network.encode(volume[:, :, :64, :64, :64])
    inner = (slice(None), slice(None), *[slice(7, 9)] * 3)
    torch.testing.assert_close(whole[inner], crop[inner], atol=1e-4, rtol=1e-4)
    torch.manual_seed(0)
    grouped = LatentAutoencoder(config.autoencoder.model_copy(update={"norm": "group"}))
    whole, crop = grouped.encode(volume), grouped.encode(volume[:, :, :64, :64, :64])
    assert not torch.allclose(whole[inner], crop[inner], atol=1e-2)
    shapes = [{name: tensor.shape for name, tensor in kind.state_dict().items()} for kind in (network, grouped)]
    assert shapes[0] == shapes[1]


def test_covariates_go_to_the_unit_interval_and_what_is_not_known_is_the_middle(config):
    scaled = scale_covariates(config.covariates, sex="M", age=54, ventricles_ml=25, brain_ml=1400)
    assert COVARIATES == ("sex", "age", "ventricles", "brain"), "BrainLDM's order"
    assert scaled.values.tolist() == pytest.approx([1, 0.5, 0.25, 0.5])
    assert scaled.is_known.all()
    scaled = scale_covariates(config.covariates, sex="F", brain_ml=9000)
    assert scaled.values.tolist() == [0, 0.5, 0.5, 1], "clipped"
    assert scaled.is_known.tolist() == [True, False, False, True]


@torch.no_grad()
def test_covariate_encoder_sees_a_volume_the_same_in_whatever_company(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    encoder = CovariateEncoder(1, 0.125).train()
    torch.nn.init.normal_(encoder.network.fc.weight)
    alone, together = encoder.encode(volume)[0], encoder.encode(torch.cat([volume, 5 * volume.flip(2) + 1]))[0]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, encoder.eval().encode(volume)[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_covariates_are_unknown_before_training_and_stay_so_where_the_denoiser_never_learned_them(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    encoder = CovariateEncoder(1, 0.125, informed=[True, False, False, True]).eval()
    assert encoder.encode(volume).tolist() == [[0.5] * 4]
    torch.nn.init.constant_(encoder.network.fc.bias, 2.0)
    values = encoder.encode(volume)[0].tolist()
    assert values[1:3] == [0.5, 0.5]
    assert min(values[0], values[3]) > 0.8


@pytest.mark.parametrize("variance", [None, [0.04] * 3])
def test_each_denoiser_pass_is_made_only_where_it_counts(variance, inputs):
    _, noise = make_fine_net(reference_variance=variance).networks.noises(*(tensor[:1] for tensor in inputs))
    assert (noise is None) == (variance is None)
