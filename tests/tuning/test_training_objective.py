"""Scope `training`: short trainings that are judged, pruned and resumed, and leave the workspace as it was."""

import numpy as np
import optuna
import pytest
import torch

from bmenet.tuning.training_objective import TrainingObjective, shortened
from tests.tuned import changed, plan_of

CPU = torch.device("cpu")


def nobody(step, value):
    """Listen to no report."""


def _training(tuned, network, **values):
    training = {"network": network, "steps": 2, "validate_every": 1}
    return plan_of(tuned, tune__scope="training", tune__training=training, **values)


def _kept(layout):
    return {path: path.read_bytes() for path in layout.weights_folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("network", ["coarse", "fine"])
def test_a_short_training_is_judged_and_leaves_the_workspace_as_it_was(tuned, network):
    plan = _training(tuned, network)
    marker = plan.layout.checkpoints(network) / "step-00000009.json"
    marker.parent.mkdir(parents=True)
    marker.write_text("the workspace's own")
    before = _kept(plan.layout)
    reported = []
    found = TrainingObjective(plan, CPU)(plan.config, lambda step, value: reported.append((step, value)))
    assert [step for step, _ in reported] == [1, 2]
    assert np.isfinite([value for _, value in reported]).all()
    assert np.isfinite(found.gains).all()
    assert list(found.cases) == ["0 111", "1 111"]
    assert _kept(plan.layout) == before
    assert list((plan.folder / "checkpoints").iterdir()) == []


def test_the_values_of_a_trial_train_it(tuned):
    plan = _training(tuned, "coarse")
    objective = TrainingObjective(plan, CPU)
    rates = [objective(changed(plan.config, coarse__learning_rate=rate), nobody).cases for rate in (1e-4, 2e-3, 1e-4)]
    assert rates[0] == rates[2] != rates[1]


def test_a_pruned_training_ends_and_keeps_no_state(tuned):
    plan = _training(tuned, "coarse", tune__training__steps=3)
    kept = []

    def report(step, value):
        kept.append(len(list((plan.folder / "checkpoints").rglob("*.safetensors"))))
        if step == 2:
            raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        TrainingObjective(plan, CPU)(plan.config, report)
    assert len(kept) == 2
    assert kept[-1] > 0
    assert list((plan.folder / "checkpoints").iterdir()) == []


def test_an_interrupted_training_goes_on(tuned):
    plan = _training(tuned, "coarse")
    objective = TrainingObjective(plan, CPU)
    steps = []

    def report(step, value):
        steps.append(step)
        if steps == [1, 2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        objective(plan.config, report)
    objective(plan.config, report)
    assert steps == [1, 2, 2]


def test_two_live_runs_of_the_same_values_share_no_state(tuned):
    plan = _training(tuned, "coarse")
    objective = TrainingObjective(plan, CPU)
    steps, others, kept = [], [], []

    def report(step, value):
        steps.append(step)
        if step == 2:  # the first checkpoint is there
            before = sorted((plan.folder / "checkpoints").rglob("*.safetensors"))
            objective(plan.config, lambda step, value: others.append(step))
            kept.append(before == sorted((plan.folder / "checkpoints").rglob("*.safetensors")) != [])

    objective(plan.config, report)
    assert (steps, others, kept) == ([1, 2], [1, 2], [True])
    assert list((plan.folder / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("network", ["coarse", "fine"])
def test_a_trial_trains_as_long_as_the_section_says(plan, network):
    config = changed(plan.config, tune__training={"network": network, "steps": 7, "validate_every": 3})
    section = getattr(shortened(config), network)
    assert (section.steps, section.validate_every, section.checkpoint_every) == (7, 3, 3)
    assert getattr(plan.config, network).steps != 7
