"""The whole Coarse-net training on phantoms: it resumes to the bit, and only its own checkpoints."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

import bmenet.training.engine.checkpoint
from bmenet.config import Config
from bmenet.config.augmentation import OnlineConfig
from bmenet.data.layout import Layout
from bmenet.degradation.case import write_case
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.volume import load_unit_volume
from bmenet.networks.weights import save_weights
from bmenet.runtime.errors import ConfigError
from bmenet.tracking import NullLogger
from bmenet.training.coarse import train_coarse, training_signature
from bmenet.training.engine.session import Trained
from bmenet.training.validation import CoarseValidation
from tests.training.conftest import SPLIT


def train_here(config: Config, layout: Layout) -> Trained:
    return train_coarse(config, SPLIT, layout, NullLogger())


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingLogger(NullLogger):
    """Kills the process where a step's metrics are logged."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log_metrics(self, values: object, step: int | None = None) -> None:
        if step == self.step:
            die()


def train_and_die(config: Config, layout: Layout, moment: str) -> None:
    logger: NullLogger = NullLogger()
    if moment == "between checkpoints":
        logger = DyingLogger(9)
    elif moment == "in validation":
        CoarseValidation.__call__ = die  # type: ignore[method-assign]
    else:
        write = bmenet.training.engine.checkpoint.write_json
        name = {"sealing a checkpoint": "step-00000008.json", "sealing the first checkpoint": "step-00000002.json"}[
            moment
        ]
        bmenet.training.engine.checkpoint.write_json = lambda path, value: (
            die() if path.name == name else write(path, value)
        )
    train_coarse(config, SPLIT, layout, logger)


def killed_run(config: Config, layout: Layout, moment: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=train_and_die, args=(config, layout, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def assert_same(one: Trained, other: Trained) -> None:
    assert one.metrics == other.metrics
    assert one.history == other.history
    assert one.validations == other.validations
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


@pytest.fixture
def straight(config: Config, layout: Layout, tmp_path: Path) -> Trained:
    """An unbroken training, its checkpoints cleared away."""
    training = train_here(config, layout)
    for path in layout.checkpoints("coarse").iterdir():
        path.unlink()
    return training


@pytest.mark.parametrize(
    "moment", ["between checkpoints", "in validation", "sealing a checkpoint", "sealing the first checkpoint"]
)
def test_killed_training_ends_as_an_unbroken_one(
    config: Config, layout: Layout, straight: Trained, moment: str, capsys: pytest.CaptureFixture
) -> None:
    killed_run(config, layout, moment)
    capsys.readouterr()
    resumed = train_here(config, layout)
    assert ("going on from step" in capsys.readouterr().err) == (moment != "sealing the first checkpoint")
    assert_same(straight, resumed)


def test_training_resumes_from_the_checkpoint_before_a_corrupt_one(
    config: Config, layout: Layout, straight: Trained, capsys: pytest.CaptureFixture
) -> None:
    killed_run(config, layout, "between checkpoints")
    newest = sorted(layout.checkpoints("coarse").glob("*.safetensors"))[-1]
    assert newest.name == "step-00000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    capsys.readouterr()
    resumed = train_here(config, layout)
    messages = capsys.readouterr().err
    assert "damaged" in messages
    assert "going on from step 6 of 12" in messages
    assert_same(straight, resumed)


def test_workers_and_checkpoint_interval_change_nothing(config: Config, layout: Layout, straight: Trained) -> None:
    coarse = config.coarse.model_copy(update={"workers": 1, "checkpoint_every": 5})
    assert_same(straight, train_here(config.model_copy(update={"coarse": coarse}), layout))


def test_training_raises_the_psnr_of_what_it_was_trained_on(config: Config, layout: Layout) -> None:
    # Of a training case: two drawn coil fields say nothing about the field of a third phantom.
    changes = {"steps": 240, "validate_every": 240, "checkpoint_every": 240, "ema_decay": 0.9, "learning_rate": 3e-3}
    config = config.model_copy(update={"coarse": config.coarse.model_copy(update=changes)})
    subject = SPLIT["train"][0]
    trained = train_coarse(config, SPLIT | {"validation": [subject]}, layout, NullLogger())
    clean, degraded = (load_unit_volume(p).data for p in (layout.clean(subject), layout.degraded(subject, "111")))
    assert trained.metrics["val.psnr.111"] > psnr(degraded, clean) + 1


def test_other_configuration_starts_afresh(config: Config, layout: Layout, capsys: pytest.CaptureFixture) -> None:
    killed_run(config, layout, "between checkpoints")
    coarse = config.coarse.model_copy(update={"edge_weight": 2.0, "steps": 2})
    capsys.readouterr()
    train_here(config.model_copy(update={"coarse": coarse}), layout)
    messages = " ".join(capsys.readouterr().err.split())
    assert "starts afresh" in messages
    assert "going on" not in messages


def test_signature_holds_what_decides_and_nothing_else(config: Config, layout: Layout) -> None:
    signature = training_signature(config, SPLIT, layout)
    for changes, is_same in (({"workers": 3}, True), ({"checkpoint_every": 7}, True), ({"learning_rate": 0.5}, False)):
        changed = config.model_copy(update={"coarse": config.coarse.model_copy(update=changes)})
        assert (training_signature(changed, SPLIT, layout) == signature) is is_same
    assert training_signature(config.model_copy(update={"seed": 1}), SPLIT, layout) != signature
    assert training_signature(config, SPLIT | {"train": ["sub-01"]}, layout) != signature
    assert training_signature(config, SPLIT | {"test": ["sub-09"]}, layout) == signature
    degraded = layout.degraded("sub-01", "111")
    write_case(layout.clean("sub-01"), degraded, config.degradation.preset, "111", config.seed + 1, "sub-01")
    assert training_signature(config, SPLIT, layout) != signature


def test_code_that_is_not_degraded_is_refused(config: Config, layout: Layout) -> None:
    coarse = config.coarse.model_copy(update={"code_weights": {"010": 1, "111": 1}})
    with pytest.raises(ConfigError, match=r"degradation.codes.*'010'.*missing"):
        train_here(config.model_copy(update={"coarse": coarse}), layout)


@pytest.mark.parametrize("subset", ["train", "validation"])
def test_empty_subset_is_refused(config: Config, layout: Layout, subset: str) -> None:
    with pytest.raises(ConfigError, match=f"split.{subset}: expected at least one subject"):
        train_coarse(config, SPLIT | {subset: []}, layout, NullLogger())


def from_here(config: Config, folder: Path | None, **changes: object) -> Config:
    changes |= {"start_from": None if folder is None else str(folder)}
    return config.model_copy(update={"coarse": config.coarse.model_copy(update=changes)})


def test_training_goes_on_from_another_network(config: Config, layout: Layout, straight: Trained) -> None:
    folder = layout.root / "weights" / "base" / "coarse"
    save_weights(folder, "coarse", straight.network, {"spacing_mm": 4, "config": config.coarse.model_dump(mode="json")})
    gentle = from_here(config, folder, steps=1, learning_rate=1e-12, warmup_steps=0, ema_decay=0.0)
    trained = train_here(gentle, layout).network.state_dict()
    for name, tensor in straight.network.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, atol=1e-6, rtol=0)
    assert training_signature(gentle, SPLIT, layout) != training_signature(from_here(config, None), SPLIT, layout)


def test_missing_start_says_how_to_make_it(config: Config, layout: Layout) -> None:
    with pytest.raises(ConfigError, match=r"coarse.start_from: .*`make base`"):
        training_signature(from_here(config, Path("weights/base/coarse")), SPLIT, layout)


def test_start_of_another_shape_is_refused(config: Config, layout: Layout, straight: Trained) -> None:
    folder = layout.root / "weights" / "base" / "coarse"
    save_weights(folder, "coarse", straight.network, {"spacing_mm": 4, "config": config.coarse.model_dump(mode="json")})
    wider = config.coarse.unet.model_copy(update={"channels": 2 * config.coarse.unet.channels})
    with pytest.raises(ConfigError, match=r"coarse.start_from: expected a network"):
        train_here(from_here(config, folder, unet=wider), layout)


def test_training_on_fresh_cases_resumes_like_any_other(config: Config, layout: Layout) -> None:
    online = OnlineConfig(batches_per_case=2, template_chance=0.3, severity=None, variety=None)
    mixed = from_here(config, None, degradations="mixed", online=online, steps=4, validate_every=4)
    whole = train_here(mixed, layout).network.state_dict()
    assert any(
        not torch.equal(tensor, whole[name])
        for name, tensor in train_here(from_here(config, None, steps=4, validate_every=4), layout)
        .network.state_dict()
        .items()
    )
    again = train_here(mixed, layout).network.state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in again.items())
