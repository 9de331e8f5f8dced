"""The whole Coarse-net training on phantoms: it resumes to the bit, and only its own checkpoints."""

import multiprocessing
import os
import signal

import pytest
import torch

import bmenet.training.engine.checkpoint
from bmenet.config import Config
from bmenet.config.degradation import OnlineConfig
from bmenet.data.layout import Layout
from bmenet.degradation.case import write_case
from bmenet.evaluation.metrics.fidelity import psnr
from bmenet.imaging.volume import load_unit_volume
from bmenet.networks.coarse import build_coarse
from bmenet.networks.weights import save_weights
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.logger import NullLogger
from bmenet.training.coarse import CoarseTask
from bmenet.training.engine.trainer import Trained, Trainer
from tests.training.conftest import SPLIT


def train_here(config: Config, layout: Layout, split: dict = SPLIT, logger: NullLogger | None = None) -> Trained:
    return Trainer(CoarseTask(config, layout, split), logger).train()


def signature(config: Config, layout: Layout, split: dict = SPLIT) -> str:
    return CoarseTask(config, layout, split).signature


def with_coarse(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"coarse": config.coarse.model_copy(update=changes)})


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
    logger = DyingLogger(9) if moment.startswith("between") else NullLogger()
    if moment == "in validation":
        CoarseTask.validate = die  # type: ignore[method-assign]
    elif moment.startswith("sealing"):
        write = bmenet.training.engine.checkpoint.write_json
        name = "step-00000002.json" if "first" in moment else "step-00000008.json"
        bmenet.training.engine.checkpoint.write_json = lambda path, value: (
            die() if path.name == name else write(path, value)
        )
    train_here(config, layout, logger=logger)


def killed_run(config: Config, layout: Layout, moment: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=train_and_die, args=(config, layout, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def assert_same(one: Trained, other: Trained) -> None:
    assert (one.metrics, one.history, one.validations) == (other.metrics, other.history, other.validations)
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name


@pytest.fixture(scope="module")
def trained_once() -> list[Trained]:
    """The unbroken training, once the first test that needs it has run it."""
    return []


@pytest.fixture
def straight(config: Config, layout: Layout, trained_once: list[Trained]) -> Trained:
    """An unbroken training, its checkpoints cleared away."""
    if not trained_once:
        trained_once.append(train_here(config, layout))
        CoarseTask(config, layout, SPLIT).checkpoints.clear()
    return trained_once[0]


@pytest.mark.parametrize(
    ("moment", "resumed_step"),
    [
        ("between checkpoints", 8),
        ("between checkpoints, and the last one is corrupt", 6),
        ("in validation", 4),
        ("sealing a checkpoint", 6),
        ("sealing the first checkpoint", None),
    ],
)
def test_killed_training_ends_as_an_unbroken_one(
    config: Config,
    layout: Layout,
    straight: Trained,
    moment: str,
    resumed_step: int | None,
    capsys: pytest.CaptureFixture,
) -> None:
    killed_run(config, layout, moment)
    if "corrupt" in moment:
        newest = max(layout.checkpoints("coarse").glob("*.safetensors"))
        newest.write_bytes(newest.read_bytes()[:-100])
    capsys.readouterr()
    resumed = train_here(config, layout)
    messages = capsys.readouterr().err
    assert ("damaged" in messages) == ("corrupt" in moment)
    assert (f"going on from step {resumed_step} of 12" in messages) == (resumed_step is not None)
    assert ("going on" in messages) == (resumed_step is not None)
    assert_same(straight, resumed)


def test_workers_and_checkpoint_interval_change_nothing(config: Config, layout: Layout, straight: Trained) -> None:
    assert_same(straight, train_here(with_coarse(config, workers=1, checkpoint_every=5), layout))


def test_training_raises_the_psnr_of_what_it_was_trained_on(config: Config, layout: Layout) -> None:
    # Of a training case: two drawn coil fields say nothing about the field of a third phantom.
    changes = {"steps": 240, "validate_every": 240, "checkpoint_every": 240, "ema_decay": 0.9, "learning_rate": 3e-3}
    subject = SPLIT["train"][0]
    trained = train_here(with_coarse(config, **changes), layout, SPLIT | {"validation": [subject]})
    clean, degraded = (load_unit_volume(p).data for p in (layout.clean(subject), layout.degraded(subject, "111")))
    assert trained.metrics["val.psnr.111"] > psnr(degraded, clean) + 1


def test_only_the_first_validation_volumes_count(config: Config, layout: Layout) -> None:
    def validate(subjects: list[str], volumes: int) -> dict[str, float]:
        task = CoarseTask(with_coarse(config, validation_volumes=volumes), layout, SPLIT | {"validation": subjects})
        task.prepare(torch.float32)
        return task.validate(build_coarse(config.coarse).eval(), 1).metrics

    first = validate(["sub-01"], 1)
    assert validate(["sub-01", "sub-02"], 1) == first
    assert validate(["sub-01", "sub-02"], 2) != first


def test_signature_holds_what_decides_and_nothing_else(config: Config, layout: Layout) -> None:
    mine = signature(config, layout)
    assert signature(with_coarse(config, workers=3, checkpoint_every=7), layout) == mine
    assert signature(config, layout, SPLIT | {"test": ["sub-09"]}) == mine
    assert signature(with_coarse(config, learning_rate=0.5), layout) != mine
    assert signature(config.model_copy(update={"seed": 1}), layout) != mine
    assert signature(config, layout, SPLIT | {"train": ["sub-01"]}) != mine
    degraded = layout.degraded("sub-01", "111")
    write_case(layout.clean("sub-01"), degraded, config.degradation.preset, "111", config.seed + 1, "sub-01")
    assert signature(config, layout) != mine


def test_code_that_is_not_degraded_and_an_empty_subset_are_refused(config: Config, layout: Layout) -> None:
    with pytest.raises(ConfigError, match=r"degradation.codes.*'010'.*missing"):
        CoarseTask(with_coarse(config, code_weights={"010": 1, "111": 1}), layout, SPLIT)
    for subset in ("train", "validation"):
        with pytest.raises(ConfigError, match=f"split.{subset}: expected at least one subject"):
            CoarseTask(config, layout, SPLIT | {subset: []})


@pytest.fixture
def start(config: Config, layout: Layout, straight: Trained) -> str:
    """The folder of a trained network."""
    folder = layout.root / "weights" / "base" / "coarse"
    save_weights(folder, "coarse", straight.network, {"spacing_mm": 4, "config": config.coarse.model_dump(mode="json")})
    return str(folder)


def test_training_goes_on_from_another_network_and_refuses_a_missing_one_or_one_of_another_shape(
    config: Config, layout: Layout, straight: Trained, start: str
) -> None:
    changes = {"start_from": start, "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "ema_decay": 0.0}
    gentle = with_coarse(config, **changes)
    trained = train_here(gentle, layout).network.state_dict()
    for name, tensor in straight.network.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, atol=1e-6, rtol=0)
    assert signature(gentle, layout) != signature(with_coarse(gentle, start_from=None), layout)
    with pytest.raises(ConfigError, match=r"coarse.start_from: .*`make base`"):
        signature(with_coarse(config, start_from="weights/base/nothing"), layout)
    wider = config.coarse.unet.model_copy(update={"channels": 2 * config.coarse.unet.channels})
    with pytest.raises(ConfigError, match=r"coarse.start_from: expected a network"):
        train_here(with_coarse(config, start_from=start, unet=wider), layout)


def test_training_on_fresh_cases_is_repeatable(config: Config, layout: Layout) -> None:
    online = OnlineConfig(batches_per_case=2, template_chance=0.3, severity=None, variety=None)
    short = with_coarse(config, steps=4, validate_every=4)
    mixed = with_coarse(short, degradations="mixed", online=online)
    stored, once, again = (train_here(these, layout).network.state_dict() for these in (short, mixed, mixed))
    assert all(torch.equal(tensor, once[name]) for name, tensor in again.items())
    assert any(not torch.equal(tensor, once[name]) for name, tensor in stored.items())
