"""The training of the field network on phantoms: it learns, and a killed run ends as an unbroken one."""

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from bmenet.config import Config
from bmenet.data.layout import Layout
from bmenet.degradation.case import write_case
from bmenet.imaging.volume import Volume, load_unit_volume, save_mask
from bmenet.networks.field import load_field
from bmenet.networks.weights import weights_digest
from bmenet.runtime.errors import ConfigError
from bmenet.runtime.logger import NullLogger
from bmenet.training.coarse import CoarseTask
from bmenet.training.engine.trainer import Trained, Trainer, write_trained
from bmenet.training.field import FieldTask, error_of
from tests.training.conftest import SPLIT


@pytest.fixture
def config(config: Config) -> Config:
    """A training of a few steps in full precision."""
    short = {"batch_size": 1, "steps": 6, "validate_every": 3, "checkpoint_every": 2}
    training = {"workers": 0, "precision": "fp32", "warmup_steps": 1}
    return config.model_copy(
        update={
            "field": config.field.model_copy(update=short),
            "training": config.training.model_copy(update=training),
            "degradation": config.degradation.model_copy(update={"codes": ["001", "111"]}),
        }
    )


@pytest.fixture
def layout(layout: Layout, config: Config) -> Layout:
    """The phantoms under a coil alone, too."""
    for subject in (*SPLIT["train"], *SPLIT["validation"]):
        degraded = layout.degraded(subject, "001")
        write_case(layout.clean(subject), degraded, config.degradation.preset, "001", config.seed, subject)
    return layout


def with_field(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"field": config.field.model_copy(update=changes)})


def train(config: Config, layout: Layout, logger: NullLogger | None = None) -> Trained:
    return Trainer(FieldTask(config, layout, SPLIT), logger).train()


class DyingLogger(NullLogger):
    """Kills the process between two checkpoints."""

    def log_metrics(self, values: object, step: int | None = None) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_training_ends_as_an_unbroken_one(config, layout, capsys):
    straight = train(config, layout)
    FieldTask(config, layout, SPLIT).checkpoints.clear()
    process = multiprocessing.get_context("fork").Process(target=train, args=(config, layout, DyingLogger()))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    capsys.readouterr()
    resumed = train(config, layout)
    assert "train_field: going on from step 2 of 6" in capsys.readouterr().err
    assert resumed.metrics == straight.metrics
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_a_few_steps_lower_the_error_on_a_head(config, layout):
    task = FieldTask(with_field(config, channels=[8, 16], res_units=1), layout, SPLIT)
    task.prepare(torch.float32)
    torch.manual_seed(0)
    batches = map(task.batches().__getitem__, range(10))
    batch = next(batch for batch in batches if batch["log_field"].std() > 0.1)
    network, errors = task.network(), []
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    while len(errors) < 60 and not (errors and errors[-1] < 0.6 * errors[0]):
        total, terms = task.loss(network, batch)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        errors.append(terms["rms"].item())
    assert errors[-1] < 0.6 * errors[0]


def test_an_untrained_network_errs_by_what_was_drawn_in_every_validation(config, layout):
    task = FieldTask(config, layout, SPLIT)
    task.prepare(torch.float32)
    score, metrics, figure = task.validate(task.network().eval(), 1)
    for code in ("111", "001"):
        assert metrics[f"val.rms.{code}"] == pytest.approx(metrics[f"val.drawn.{code}"])
    assert score == pytest.approx(-(metrics["val.rms.111"] + metrics["val.rms.001"]) / 2)
    assert figure is not None


def test_a_batch_is_always_the_same_one_and_another_is_another(config, layout):
    task = FieldTask(config, layout, SPLIT)
    task.prepare(torch.float32)
    one, again, other = (task.batches()[index] for index in (4, 4, 5))
    for name, tensor in one.items():
        assert tensor.shape == (1, 1, 40, 56, 40)
        assert tensor.isfinite().all()
        assert torch.equal(tensor, again[name]), name
    assert not torch.equal(one["head"], other["head"])
    assert set(one["brain"].unique().tolist()) == {0, 1}


def test_the_mean_of_a_log_field_in_the_brain_is_no_error(generator):
    true = torch.from_numpy(generator.normal(size=(2, 1, 6, 6, 6))).float()
    brain = torch.zeros_like(true)
    brain[..., 2:4] = 1
    shifted = true + torch.tensor([0.5, -2.0]).view(2, 1, 1, 1, 1)
    torch.testing.assert_close(error_of(shifted, true, brain), torch.zeros_like(true), atol=1e-5, rtol=0)
    assert error_of(2 * true, true, brain).abs().max() > 0.1


def test_signature_holds_what_decides_and_nothing_else(config: Config, layout: Layout) -> None:
    def signature(config: Config) -> str:
        return FieldTask(config, layout, SPLIT).signature

    mine = signature(config)
    assert signature(with_field(config, checkpoint_every=5)) == mine
    assert signature(with_field(config, learning_rate=0.5)) != mine
    assert signature(config.model_copy(update={"seed": 1})) != mine
    brain_mask = load_unit_volume(layout.clean("sub-01"))
    save_mask(layout.brain_mask("sub-01"), Volume(brain_mask.data > 0.6, brain_mask.affine))
    assert signature(config) != mine


def test_a_code_to_validate_on_that_is_not_degraded_is_refused(config, layout):
    fewer = config.model_copy(update={"degradation": config.degradation.model_copy(update={"codes": ["111"]})})
    with pytest.raises(ConfigError, match=r"degradation.codes: .*validated on; \['001'\] are missing"):
        FieldTask(fewer, layout, SPLIT)


def test_the_coarse_net_names_the_field_network_and_validates_with_it(config, layout, monkeypatch):
    monkeypatch.setattr("bmenet.restoration.field._ERROR", 0.0)  # so short a training finds but little

    def validate() -> tuple[str, float]:
        task = CoarseTask(config, layout, SPLIT)
        task.prepare(torch.float32)
        return task.signature, task.validate(task.network().eval(), 1).score

    before = validate()
    task = FieldTask(config, layout, SPLIT)
    trained = train(with_field(config, learning_rate=1e-2), layout)
    write_trained(task, trained, NullLogger())
    network, spec = load_field(layout.weights("field"))
    assert spec["config"] == config.field.model_dump(mode="json")
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), trained.network.parameters(), strict=True))
    after = validate()
    assert before[0] != after[0]
    assert np.abs(before[1] - after[1]) > 1e-3
    digest = weights_digest(layout.weights("field"))
    assert CoarseTask(config, layout, SPLIT).parent_digests() == {"field": digest}
