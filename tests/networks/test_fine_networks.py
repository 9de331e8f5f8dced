"""Contracts of the second stage's networks."""

import pytest
import torch

from bmenet.config.profiles import load_profile
from bmenet.networks.autoencoder import LatentAutoencoder
from bmenet.networks.control import HintControl
from bmenet.networks.covariate_encoder import CovariateEncoder
from bmenet.networks.norm import ChannelNorm
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
def test_an_untrained_control_changes_nothing(inputs):
    latent, timestep, covariates, hint = inputs
    net = make_fine_net()
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


def test_control_starts_as_the_denoiser_s_encoder():
    net = make_fine_net()
    own = net.networks.control.network.state_dict()
    for name, tensor in net.networks.denoiser.network.state_dict().items():
        if name.startswith(("conv_in", "time_embed", "down_blocks", "middle_block")):
            assert torch.equal(own[name], tensor), name


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
def test_channel_norm_makes_a_crop_see_what_the_whole_volume_sees(config):
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
    assert not torch.allclose(
        grouped.encode(volume)[inner], grouped.encode(volume[:, :, :64, :64, :64])[inner], atol=1e-2
    )


def test_channel_norm_has_the_parameters_of_a_group_norm(config):
    kinds = [LatentAutoencoder(config.autoencoder.model_copy(update={"norm": norm})) for norm in ("channel", "group")]
    shapes = [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in kinds]
    assert shapes[0] == shapes[1]
    assert any(isinstance(module, ChannelNorm) for module in kinds[0].modules())


@torch.no_grad()
def test_covariate_encoder_knows_nothing_before_training(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    assert CovariateEncoder(1).eval().encode(volume).tolist() == [[0.5] * 4]


@torch.no_grad()
def test_covariate_encoder_sees_a_volume_the_same_in_whatever_company(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    encoder = CovariateEncoder(1, 0.125).train()
    torch.nn.init.normal_(encoder.network.fc.weight)
    alone, together = encoder.encode(volume)[0], encoder.encode(torch.cat([volume, 5 * volume.flip(2) + 1]))[0]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, encoder.eval().encode(volume)[0], atol=1e-5, rtol=0)
    assert not any(isinstance(module, torch.nn.BatchNorm3d) for module in encoder.modules())


@torch.no_grad()
def test_covariates_that_the_denoiser_never_learned_stay_unknown(phantom):
    volume = torch.from_numpy(phantom.data)[None, None]
    encoder = CovariateEncoder(1, 0.125, informed=[True, False, False, True]).eval()
    torch.nn.init.constant_(encoder.network.fc.bias, 2.0)
    values = encoder.encode(volume)[0].tolist()
    assert values[1:3] == [0.5, 0.5]
    assert min(values[0], values[3]) > 0.8


@torch.no_grad()
def test_control_of_the_paper_has_the_published_size():
    config = load_profile("paper")
    with torch.device("meta"):
        control = HintControl(config.denoiser, config.autoencoder.latent_channels)
    # The published one joins hint and latent before its first layer; ours sums two convolutions: about the same.
    assert sum(parameter.numel() for parameter in control.parameters()) / 1e6 == pytest.approx(229.7, rel=0.02)


@pytest.mark.parametrize("variance", [None, [0.04] * 3])
def test_each_denoiser_pass_is_made_only_where_it_counts(variance, inputs, monkeypatch):
    latent, timestep, covariates, hint = (tensor[:1] for tensor in inputs)
    networks = make_fine_net(reference_variance=variance).networks
    asked = []
    forward = networks.denoiser.forward

    def count(*arguments):
        asked.append(len(arguments) == 4)
        return forward(*arguments)

    monkeypatch.setattr(networks.denoiser, "forward", count)
    _, noise = networks.noises(latent, timestep, covariates, hint)
    assert asked == ([True] if variance is None else [True, False])
    assert (noise is None) == (variance is None)
