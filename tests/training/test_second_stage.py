"""The trainings of the second stage on phantoms, one after the other, as the pipeline runs them."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.imaging.volume import Volume, load_unit_volume, save_unit_volume
from bmenet.networks.weights import WEIGHTS_FILE
from bmenet.restoration.fine_net import FineNet
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.logger import NullLogger
from bmenet.training import latents
from bmenet.training.autoencoder import AutoencoderTask, EdgeAutoencoderTask
from bmenet.training.control import ControlTask
from bmenet.training.covariates import CovariatesTask
from bmenet.training.denoiser import DenoiserTask
from bmenet.training.engine.task import Task
from bmenet.training.engine.trainer import Trained, Trainer, clear_checkpoints, write_trained
from bmenet.training.latents import CoarseCase, case_latents, clean_latents
from tests.training.conftest import SPLIT

PEOPLE = {"sub-01": {"age": 30, "sex": "F"}, "sub-02": {"age": 50, "sex": "M"}, "sub-03": {"age": 40, "sex": None}}
SPLIT_AND_PEOPLE = SPLIT | {"covariates": PEOPLE}
TASKS: list[type[Task]] = [AutoencoderTask, EdgeAutoencoderTask, DenoiserTask, CovariatesTask, ControlTask]


@pytest.fixture
def config(config: Config) -> Config:
    """Trainings of a few steps in full precision."""
    short = {"batch_size": 1, "steps": 4, "validate_every": 4, "checkpoint_every": 2}
    changes = {task.sections[0]: getattr(config, task.sections[0]).model_copy(update=short) for task in TASKS}
    changes["fine"] = changes["fine"].model_copy(update={"code_weights": {"111": 1}})
    changes["training"] = config.training.model_copy(update={"workers": 0, "precision": "fp32", "warmup_steps": 1})
    changes["tracking"] = config.tracking.model_copy(update={"log_every": 1})
    return config.model_copy(update=changes)


@pytest.fixture
def layout(layout: Layout, phantom: Volume) -> Layout:
    """Three phantoms with coarse results."""
    for subject in (*SPLIT["train"], *SPLIT["validation"]):
        degraded = load_unit_volume(layout.degraded(subject, "111"))
        save_unit_volume(layout.coarse(subject, "111"), degraded.with_data(0.9 * degraded.data * (phantom.data > 0)))
    return layout


class StoppingLogger(NullLogger):
    """Raises where a step's metrics are logged: as good as a kill between two checkpoints."""

    def log_metrics(self, values: object, step: int | None = None) -> None:
        if step == 3:
            raise KeyboardInterrupt


def train(task: Task) -> Trained:
    """Train and keep a network, as its stage does."""
    trained = Trainer(task).train()
    write_trained(task, trained, NullLogger())
    clear_checkpoints(task)
    return trained


def change(config: Config, section: str, **changes: object) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=changes)})


def test_every_training_ends_as_an_unbroken_one_and_the_whole_chain_enhances(
    config: Config, layout: Layout, trained_chain: Path
) -> None:
    for kind in TASKS:
        task = kind(config, layout, SPLIT_AND_PEOPLE)
        kept = {parent: (layout.weights(parent) / WEIGHTS_FILE).read_bytes() for parent in task.parents}
        straight = train(task).network.state_dict()
        with pytest.raises(KeyboardInterrupt):
            Trainer(kind(config, layout, SPLIT_AND_PEOPLE), StoppingLogger()).train()
        assert list(task.checkpoints.folder.glob("step-*2.json"))
        resumed = Trainer(kind(config, layout, SPLIT_AND_PEOPLE)).train().network.state_dict()
        assert all(torch.equal(tensor, resumed[name]) for name, tensor in straight.items()), task.kind
        assert {parent: (layout.weights(parent) / WEIGHTS_FILE).read_bytes() for parent in task.parents} == kept
    shutil.copytree(layout.weights_folder, trained_chain / "weights", dirs_exist_ok=True)
    net = FineNet.from_folder(layout.weights_folder)
    assert net.max_timestep == config.fine.max_timestep
    assert len(net.reference_variance) == 3
    assert min(net.reference_variance) > 0
    coarse = load_unit_volume(layout.coarse("sub-03", "111")).data
    assert net.restore(coarse).data.shape == coarse.shape

    published = ControlTask(change(config, "fine", anchored=False), layout, SPLIT_AND_PEOPLE)
    train(published)
    assert FineNet.from_folder(layout.weights_folder).reference_variance is None

    path = layout.weights("autoencoder") / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "another one"}))
    with pytest.raises(WeightsError, match="trained with another autoencoder"):
        FineNet.from_folder(layout.weights_folder)


@pytest.fixture(scope="module")
def trained_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the first test which trains all networks fills, for the others."""
    return tmp_path_factory.mktemp("chain")


@pytest.fixture
def chain(config: Config, layout: Layout, trained_chain: Path) -> Layout:
    """All networks, trained."""
    if not list(trained_chain.iterdir()):
        for kind in TASKS:
            train(kind(config, layout, SPLIT_AND_PEOPLE))
        shutil.copytree(layout.weights_folder, trained_chain / "weights")
    shutil.copytree(trained_chain / "weights", layout.weights_folder, dirs_exist_ok=True)
    return layout


def test_training_the_control_leaves_the_denoiser_as_it_was(config: Config, chain: Layout) -> None:
    task = ControlTask(config, chain, SPLIT_AND_PEOPLE)
    control = Trainer(task).train().network
    fresh = ControlTask(config, chain, SPLIT_AND_PEOPLE)
    fresh.prepare(torch.float32)
    before, after = (t.denoiser.network for t in (fresh, task))
    assert all(torch.equal(tensor, after.state_dict()[name]) for name, tensor in before.state_dict().items())
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in after.parameters())
    assert any(bool(parameter.any()) for parameter in control.network.controlnet_mid_block.parameters())
    assert not any(bool(parameter.any()) for parameter in fresh.network().network.controlnet_mid_block.parameters())


def test_validation_of_the_control_is_the_mean_over_subjects(config: Config, chain: Layout) -> None:
    metrics = []
    for subjects in (["sub-01"], ["sub-03"], ["sub-01", "sub-03"]):
        two = change(config, "training", validation_volumes=2)
        task = ControlTask(two, chain, SPLIT_AND_PEOPLE | {"validation": subjects})
        task.prepare(torch.float32)
        control = FineNet.from_folder(chain.weights_folder).networks.control
        score, found, _ = task.validate(control, 1)
        assert score == found["val.psnr_brain.fine"]
        metrics.append(found)
    for name in ("val.psnr_brain.coarse", "val.psnr_brain.fine", "val.hfen_brain.fine"):
        assert metrics[2][name] == pytest.approx((metrics[0][name] + metrics[1][name]) / 2)


def test_covariates_that_decide_are_part_of_the_signature(config: Config, chain: Layout) -> None:
    for kind in (DenoiserTask, CovariatesTask):
        mine = kind(config, chain, SPLIT_AND_PEOPLE).signature
        others = {**PEOPLE, "sub-01": {"age": 31, "sex": "F"}}
        assert kind(config, chain, SPLIT | {"covariates": others}).signature != mine
        assert kind(change(config, "training", workers=2), chain, SPLIT_AND_PEOPLE).signature == mine
        assert kind(change(config, "training", ema_decay=0.1), chain, SPLIT_AND_PEOPLE).signature != mine


def test_latents_have_zero_mean_and_unit_variance_and_are_encoded_once_for_each_state_of_the_weights(
    config: Config, chain: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = clean_latents(chain, SPLIT["train"])
    by_channel = torch.stack([entry["latent"] for entry in first.values()]).movedim(1, 0).flatten(1)
    torch.testing.assert_close(by_channel.mean(dim=1), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(by_channel.std(dim=1), torch.ones(3), atol=0.05, rtol=0)
    with monkeypatch.context() as patch:
        patch.setattr(latents, "encode_volume", lambda *_: pytest.fail("encoded twice"))
        again = clean_latents(chain, SPLIT["train"])
    for subject, entry in first.items():
        assert torch.equal(entry["latent"], again[subject]["latent"])
        assert not torch.equal(entry["latent"], entry["mirrored"])
    (path,) = chain.latents.glob("sub-01_clean*")
    half = path.read_bytes()[:100]
    path.unlink()  # `first` is a view of it
    path.write_bytes(half)
    assert torch.equal(first["sub-01"]["latent"], clean_latents(chain, ["sub-01"])["sub-01"]["latent"])
    train(AutoencoderTask(change(config, "autoencoder", learning_rate=0.01), chain, SPLIT_AND_PEOPLE))
    assert not torch.equal(first["sub-01"]["latent"], clean_latents(chain, ["sub-01"])["sub-01"]["latent"])


def test_mirrored_cases_are_mirror_images(config: Config, chain: Layout) -> None:
    pair = [CoarseCase("sub-01", "111"), CoarseCase("sub-01", "111", is_mirrored=True)]
    straight, mirrored = case_latents(chain, pair, config.autoencoder.downsampling).values()
    # The edge weights are computed from the volume itself, voxel by voxel.
    torch.testing.assert_close(straight["edges"], mirrored["edges"].flip(1))
    assert not torch.equal(straight["latent"], mirrored["latent"])
