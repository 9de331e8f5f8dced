"""The trainings of the second stage on phantoms, one after the other, as the pipeline runs them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.imaging.volume import Volume, load_unit_volume, save_unit_volume
from bmenet.networks.weights import save_weights
from bmenet.restoration.fine import FineNet
from bmenet.runtime.errors import TrainingError, WeightsError
from bmenet.tracking import NullLogger
from bmenet.training import autoencoder, covariates, fine, prior
from bmenet.training.encode_cases import CoarseCase, case_latents
from bmenet.training.engine.setting import Setting
from bmenet.training.known_covariates import informed_covariates
from tests.training.conftest import SPLIT

PEOPLE = {"sub-01": {"age": 30, "sex": "F"}, "sub-02": {"age": 50, "sex": "M"}, "sub-03": {"age": 40, "sex": None}}


@pytest.fixture
def setting(config: Config, layout: Layout, phantom: Volume) -> Setting:
    """Three phantoms with coarse results, and trainings of a few steps in full precision."""
    short = {"batch_size": 1, "steps": 4, "validate_every": 2, "checkpoint_every": 2}
    sections = ("autoencoder", "edge_autoencoder", "prior", "covariates", "fine")
    changes = {name: getattr(config, name).model_copy(update=short) for name in sections}
    changes["fine"] = changes["fine"].model_copy(update={"code_weights": {"111": 1}})
    changes["training"] = config.training.model_copy(update={"workers": 0, "precision": "fp32", "warmup_steps": 1})
    changes["tracking"] = config.tracking.model_copy(update={"log_every": 1})
    for subject in (*SPLIT["train"], *SPLIT["validation"]):
        degraded = load_unit_volume(layout.degraded(subject, "111"))
        save_unit_volume(layout.coarse(subject, "111"), degraded.with_data(0.9 * degraded.data * (phantom.data > 0)))
    return Setting(config.model_copy(update=changes), layout, SPLIT | {"covariates": PEOPLE})


TRAININGS: dict[str, tuple[Callable, Callable, Callable]] = {
    "autoencoder": (
        autoencoder.autoencoder_signature,
        autoencoder.train_autoencoder,
        autoencoder.describe_autoencoder,
    ),
    "edge_autoencoder": (
        autoencoder.edge_autoencoder_signature,
        autoencoder.train_edge_autoencoder,
        autoencoder.describe_edge_autoencoder,
    ),
    "prior": (prior.prior_signature, prior.train_prior, prior.describe_prior),
    "covariates": (covariates.covariates_signature, covariates.train_covariates, covariates.describe_covariates),
    "fine": (fine.fine_signature, fine.train_fine, fine.describe_fine),
}


def _train(setting: Setting, kind: str) -> nn.Module:
    """Train and keep a network, as its stage does."""
    signature, train, describe = TRAININGS[kind]
    trained = train(setting, signature(setting))
    spec = {"spacing_mm": 4, **describe(setting, trained.network)}
    save_weights(setting.layout.weights(kind), kind, trained.network, spec)
    return trained.network


def _train_up_to(setting: Setting, last: str) -> None:
    for kind in TRAININGS:
        if kind == last:
            return
        _train(setting, kind)


class StoppingLogger(NullLogger):
    """Raises where a step's metrics are logged: as good as a kill between two checkpoints."""

    def log_metrics(self, values: object, step: int | None = None) -> None:
        if step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_stopped_training_ends_as_an_unbroken_one(setting: Setting, kind: str) -> None:
    _train_up_to(setting, kind)
    straight = _train(setting, kind)
    for path in setting.layout.checkpoints(kind).iterdir():
        path.unlink()
    signature, train, _ = TRAININGS[kind]
    with pytest.raises(KeyboardInterrupt):
        train(setting.with_logger(StoppingLogger()), signature(setting))
    assert list(setting.layout.checkpoints(kind).glob("step-*2.json"))
    resumed = train(setting, signature(setting)).network
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_whole_chain_leaves_networks_that_enhance(setting: Setting) -> None:
    for kind in TRAININGS:
        _train(setting, kind)
    net = FineNet.from_folder(setting.layout.weights_folder)
    coarse = load_unit_volume(setting.layout.coarse("sub-03", "111")).data
    assert net.max_timestep == setting.config.fine.max_timestep
    assert net.restore(coarse).data.shape == coarse.shape


def test_training_the_control_leaves_every_other_network_as_it_was(setting: Setting) -> None:
    _train_up_to(setting, "fine")
    kinds = ("autoencoder", "edge_autoencoder", "prior", "covariates")
    before = {kind: (setting.layout.weights(kind) / "model.safetensors").read_bytes() for kind in kinds}
    loaded: list[nn.Module] = []
    original = fine.Frozen.__init__

    def spy(self, network, dtype):
        loaded.append(network)
        original(self, network, dtype)

    fine.Frozen.__init__ = spy  # type: ignore[method-assign]
    try:
        control = _train(setting, "fine")
    finally:
        fine.Frozen.__init__ = original  # type: ignore[method-assign]
    published, _ = fine.load_fine(setting.layout.weights("prior"), "prior")
    for name, tensor in published.state_dict().items():
        assert torch.equal(tensor, loaded[0].state_dict()[name]), name
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in loaded[0].parameters())
    assert {kind: (setting.layout.weights(kind) / "model.safetensors").read_bytes() for kind in kinds} == before
    # And the control did learn.
    start = fine.HintControl(setting.config.prior, 3)
    start.copy_encoder(published)  # type: ignore[arg-type]
    assert any(
        float(parameter.detach().abs().max()) > 0 for parameter in control.network.controlnet_mid_block.parameters()
    )


def test_latents_are_encoded_once(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    from bmenet.training import encode

    _train(setting, "autoencoder")
    first = encode.clean_latents(setting, SPLIT["train"])
    monkeypatch.setattr(encode, "encode_volume", lambda *_: pytest.fail("encoded twice"))
    again = encode.clean_latents(setting, SPLIT["train"])
    for subject, latents in first.items():
        assert torch.equal(latents["latent"], again[subject]["latent"])
        assert not torch.equal(latents["latent"], latents["mirrored"])


def test_latents_of_other_weights_are_encoded_anew(setting: Setting) -> None:
    from bmenet.training import encode

    network = _train(setting, "autoencoder")
    first = encode.clean_latents(setting, ["sub-01"])["sub-01"]["latent"]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    describe = TRAININGS["autoencoder"][2]
    save_weights(setting.layout.weights("autoencoder"), "autoencoder", network, describe(setting, network))
    assert not torch.equal(first, encode.clean_latents(setting, ["sub-01"])["sub-01"]["latent"])


def test_edges_are_left_out_of_the_hint_as_often_as_told(setting: Setting) -> None:
    config = setting.config.model_copy(update={"fine": setting.config.fine.model_copy(update={"edge_dropout": 0.25})})
    objective = fine.FineObjective(Setting(config, setting.layout, setting.split), None, None, [1.0] * 3)  # type: ignore[arg-type]
    hint = torch.ones(4, 6, 2, 2, 2)
    shown = objective._hint({"hint": hint, "die": torch.tensor([0.0, 0.2, 0.25, 0.9])})
    assert shown[:, :3].min() == 1
    assert shown[:, 3:].amax(dim=(1, 2, 3, 4)).tolist() == [0, 0, 1, 1]
    assert torch.equal(objective._hint({"hint": hint}), hint)


def test_latents_have_zero_mean_and_unit_variance_in_every_channel(setting: Setting) -> None:
    from bmenet.training import encode

    _train(setting, "autoencoder")
    latents = torch.stack([entry["latent"] for entry in encode.clean_latents(setting, SPLIT["train"]).values()])
    by_channel = latents.movedim(1, 0).flatten(1)
    torch.testing.assert_close(by_channel.mean(dim=1), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(by_channel.std(dim=1), torch.ones(3), atol=0.05, rtol=0)


def test_networks_of_two_families_are_refused(setting: Setting) -> None:
    for kind in TRAININGS:
        _train(setting, kind)
    path = setting.layout.weights("autoencoder") / "model.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps(spec | {"note": "another one"}))
    with pytest.raises(WeightsError, match="trained with another autoencoder"):
        FineNet.from_folder(setting.layout.weights_folder)


def test_the_control_s_loss_weighs_edges(setting: Setting) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, 4, 4, 4)
    batch = {name: torch.randn(shape, generator=generator) for name in ("latent", "noise")}
    edges = torch.ones(1, 1, 4, 4, 4)
    edges[:, :, :2] = 3
    batch |= {"hint": torch.zeros(1, 6, 4, 4, 4), "edges": edges, "covariates": torch.zeros(1, 4)}
    batch |= {"timestep": torch.tensor([10])}
    wrong_at_edges = batch["noise"].clone()
    wrong_at_edges[:, :, :2] += 1

    def loss(edge_weight: float) -> float:
        section = setting.config.fine.model_copy(update={"edge_weight": edge_weight})
        config = setting.config.model_copy(update={"fine": section})
        objective = fine.FineObjective(Setting(config, setting.layout, {}), lambda *_: wrong_at_edges, None, [1.0] * 3)  # type: ignore
        return float(objective(lambda *_: None, batch)[0])  # type: ignore[arg-type]

    assert loss(0.0) == pytest.approx(0.5)
    assert loss(2.0) == pytest.approx(5 / 6, rel=1e-4)


def test_a_damaged_latent_is_encoded_again(setting: Setting) -> None:
    from bmenet.training import encode

    _train(setting, "autoencoder")
    first = encode.clean_latents(setting, ["sub-01"])["sub-01"]["latent"]
    (path,) = Path(setting.layout.latents).glob("sub-01_clean*")
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(first, encode.clean_latents(setting, ["sub-01"])["sub-01"]["latent"])


def _anchored_objective(setting: Setting, variance: list[float] | None, answer: torch.Tensor) -> fine.FineObjective:
    section = setting.config.fine.model_copy(update={"edge_weight": 0.0})
    config = setting.config.model_copy(update={"fine": section})
    return fine.FineObjective(Setting(config, setting.layout, {}), lambda *_: answer, variance, [1.0] * 3)  # type: ignore


def test_the_reference_in_the_hint_is_a_witness(setting: Setting) -> None:
    generator = torch.Generator().manual_seed(0)
    shape, variance = (1, 3, 16, 16, 16), 0.04
    latent, noise, error = (torch.randn(shape, generator=generator) for _ in range(3))
    reference = latent + variance**0.5 * error
    batch = {"latent": latent, "noise": noise, "edges": torch.ones(1, 1, 16, 16, 16), "covariates": torch.zeros(1, 4)}
    batch |= {"timestep": torch.tensor([100])}
    # A denoiser that sees no noise anywhere: what is left is as large as the spread, hence a loss of 1.
    objective = _anchored_objective(setting, [variance] * 3, torch.zeros(shape))

    def loss(hint: torch.Tensor) -> float:
        return float(objective(lambda *_: None, batch | {"hint": hint})[0])  # type: ignore[arg-type]

    assert loss(torch.cat([reference, torch.zeros(shape)], dim=1)) == pytest.approx(1, rel=0.1)
    assert loss(torch.cat([torch.zeros(shape), reference], dim=1)) > 5


def test_variance_of_the_reference_is_measured_inside_the_head() -> None:
    latent = torch.zeros(3, 4, 4, 4)
    reference = latent.clone()
    reference[:, :2] = 0.5
    edges = torch.ones(1, 4, 4, 4)
    edges[:, :2] = 2
    example = {"latent": latent, "hint": torch.cat([reference, latent]), "edges": edges}
    assert fine._reference_variance([example]) == pytest.approx([0.25] * 3)
    with pytest.raises(TrainingError, match=r"got a variance of \[0\.0"):
        fine._reference_variance([example | {"hint": torch.cat([latent, latent])}])


def test_the_variance_is_kept_with_the_weights_unless_published(setting: Setting) -> None:
    for kind in TRAININGS:
        _train(setting, kind)
    kept = json.loads((setting.layout.weights("fine") / "model.json").read_text())["reference_variance"]
    assert len(kept) == 3
    assert min(kept) > 0
    assert FineNet.from_folder(setting.layout.weights_folder).reference_variance == kept
    section = setting.config.fine.model_copy(update={"anchored": False})
    _train(replace(setting, config=setting.config.model_copy(update={"fine": section})), "fine")
    assert FineNet.from_folder(setting.layout.weights_folder).reference_variance is None


def test_mirrored_cases_are_mirror_images(setting: Setting) -> None:
    _train(setting, "autoencoder")
    _train(setting, "edge_autoencoder")
    pair = [CoarseCase("sub-01", "111"), CoarseCase("sub-01", "111", is_mirrored=True)]
    straight, mirrored = case_latents(setting, pair).values()
    # The edge weights are computed from the volume itself, voxel by voxel.
    torch.testing.assert_close(straight["edges"], mirrored["edges"].flip(1))
    assert not torch.equal(straight["latent"], mirrored["latent"])


def test_validation_is_the_mean_over_subjects(setting: Setting) -> None:
    for kind in TRAININGS:
        _train(setting, kind)
    net = FineNet.from_folder(setting.layout.weights_folder)
    two = setting.config.training.model_copy(update={"validation_volumes": 2})
    config = setting.config.model_copy(update={"training": two})
    metrics = []
    for subjects in (["sub-01"], ["sub-03"], ["sub-01", "sub-03"]):
        these = replace(setting, config=config, split=setting.split | {"validation": subjects})
        validation = fine.FineValidation(these, net.networks.denoiser, lambda *_: (0.0, {}), torch.float32)  # type: ignore
        score, found = validation(net.networks.control, 1)
        assert score == found["val.psnr_brain.fine"]
        metrics.append(found)
    for name in metrics[0]:
        assert metrics[2][name] == pytest.approx((metrics[0][name] + metrics[1][name]) / 2)


def test_a_covariate_that_nobody_tells_is_not_informed() -> None:
    people = {"a": {"age": None, "sex": "F"}, "b": {"age": None, "sex": None}}
    assert informed_covariates(people, ["a", "b", "c"]) == [True, False, True, True]
    assert informed_covariates(people, ["b"]) == [False, False, True, True]


def test_channels_weigh_by_what_they_do_to_the_image(setting: Setting) -> None:
    shape = (1, 3, 4, 4, 4)
    batch = {"latent": torch.zeros(shape), "noise": torch.zeros(shape), "hint": torch.zeros(1, 6, 4, 4, 4)}
    batch |= {"edges": torch.ones(1, 1, 4, 4, 4), "covariates": torch.zeros(1, 4), "timestep": torch.tensor([10])}

    def loss(channel: int, weights: list[float]) -> float:
        wrong = torch.zeros(shape)
        wrong[:, channel] = 1
        objective = fine.FineObjective(setting, lambda *_: wrong, None, weights)  # type: ignore[arg-type]
        return float(objective(lambda *_: None, batch)[0])  # type: ignore[arg-type]

    assert [loss(channel, [1.0, 1.0, 1.0]) for channel in range(3)] == pytest.approx([1 / 3] * 3)
    assert [loss(channel, [1.0, 0.5, 0.1]) for channel in range(3)] == pytest.approx([1 / 1.6, 0.5 / 1.6, 0.1 / 1.6])
