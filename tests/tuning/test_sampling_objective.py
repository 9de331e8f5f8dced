"""What a trial measures: the second stage as it is, sampled otherwise, or networks that were trained for it."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch

from bmenet.evaluation.metrics import METRICS
from bmenet.imaging.brain import foreground_mask
from bmenet.imaging.volume import load_unit_volume
from bmenet.restoration.fine_net import FineNet
from bmenet.tuning.sampling_objective import RememberingNetworks, SamplingObjective
from bmenet.tuning.training_objective import TrainingObjective, shortened
from bmenet.tuning.yardstick import Yardstick
from tests.tuned import changed, plan_of

CPU = torch.device("cpu")


class Counting:
    """Networks that count what they are asked for."""

    def __init__(self, networks):
        self.networks, self.calls = networks, []

    def __getattr__(self, name):
        found = getattr(self.networks, name)
        if name == "device":
            return found

        def call(*given):
            self.calls.append(name)
            return found(*given)

        return call


def nobody(step, value):
    """Listen to no report."""


def test_the_present_values_reach_what_the_second_stage_reaches(plan):
    reported = []
    found = SamplingObjective(plan, CPU)(plan.config, lambda step, value: reported.append((step, value)))
    net = FineNet.from_folder(plan.layout.weights_folder)
    gains = []
    for subject, code in plan.cases:
        coarse, clean = (
            load_unit_volume(path).data for path in (plan.given_path(subject, code), plan.layout.clean(subject))
        )
        restored = net.restore(coarse, plan.config.sampling, plan.config.seed).data
        brain = foreground_mask(clean)
        before, after = (METRICS["psnr_brain"](volume, clean, brain) for volume in (coarse, restored))
        assert found.cases[f"{subject} {code}"] == {"psnr_brain": pytest.approx(after, abs=1e-4)}
        gains.append(after - before)
    assert found.gains == pytest.approx(gains, abs=1e-4)
    assert reported == [(1, found.gains[0]), (2, pytest.approx(np.mean(found.gains)))]
    assert found.values(["quality"]) == [pytest.approx(np.mean(gains), abs=1e-4)]
    assert found.values(["seconds", "quality"])[0] > 0
    assert sorted(found.picture) == ["clean", "given", "restored"]


def test_other_values_reach_something_else(plan):
    objective = SamplingObjective(plan, CPU)
    first = objective(plan.config, nobody)
    other = objective(changed(plan.config, sampling__strength=0.25), nobody)
    assert other.cases != first.cases
    assert objective(plan.config, nobody).cases == first.cases


def test_nothing_changed_is_no_gain(plan):
    config = changed(plan.config, sampling__strength=0.0, sampling__compose="residual")
    assert SamplingObjective(plan, CPU)(config, nobody).gains == pytest.approx([0.0, 0.0], abs=1e-4)


def test_a_pruned_trial_restores_no_further_case(plan):
    seen = []

    def report(step, value):
        seen.append(step)
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        SamplingObjective(plan, CPU)(plan.config, report)
    assert seen == [1]


def test_what_is_remembered_changes_no_volume_and_is_computed_once(plan):
    net = FineNet.from_folder(plan.layout.weights_folder)
    counting = Counting(net.networks)
    remembering = replace(net, networks=RememberingNetworks(counting))
    coarse = load_unit_volume(plan.given_path(*plan.cases[0])).data
    trials = [changed(plan.config, sampling__strength=strength, sampling__steps=2) for strength in (0.25, 1.0)]
    for config in trials:
        restored = remembering.restore(coarse, config.sampling, config.seed).data
        np.testing.assert_array_equal(restored, net.restore(coarse, config.sampling, config.seed).data)
    counts = {name: counting.calls.count(name) for name in ("encode", "encode_edges", "covariates", "noises", "decode")}
    assert counts == {"encode": 1, "encode_edges": 1, "covariates": 1, "noises": 4, "decode": 3}
    assert remembering.networks.saved_seconds > 0


def test_another_volume_is_not_taken_for_the_one_remembered(plan):
    net = FineNet.from_folder(plan.layout.weights_folder)
    remembering = replace(net, networks=RememberingNetworks(net.networks))
    for subject, code in plan.cases:
        coarse = load_unit_volume(plan.given_path(subject, code)).data
        np.testing.assert_array_equal(
            remembering.restore(coarse, plan.config.sampling).data, net.restore(coarse, plan.config.sampling).data
        )


def test_what_was_remembered_cannot_be_changed_by_who_asked(plan):
    networks = RememberingNetworks(FineNet.from_folder(plan.layout.weights_folder).networks)
    volume = torch.rand(1, 1, 40, 56, 40)
    first = networks.encode(volume)
    kept = first.clone()
    first.zero_()
    assert torch.equal(networks.encode(volume), kept)


def test_the_measure_is_only_what_the_composite_asks_for(tuned):
    composite = {"quality": {"psnr_brain": 1.0, "hfen": 10.0, "dice": 0.0}}
    plan = plan_of(tuned, tune__composites=composite)
    case = Yardstick(plan, *plan.cases[0])
    assert list(case.given_metrics) == ["psnr_brain", "hfen"]
    assert case.gain(case.given_metrics) == 0
    assert case.gain(case.measure(case.clean.data * 0.999)) > 0


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
    assert list(found.cases) == [f"{subject} {code}" for subject, code in plan.cases]
    assert _kept(plan.layout) == before
    assert list((plan.folder / "checkpoints").iterdir()) == []


def test_the_values_of_a_trial_train_it(tuned):
    plan = _training(tuned, "coarse")
    objective = TrainingObjective(plan, CPU)
    rates = [objective(changed(plan.config, coarse__learning_rate=rate), nobody).cases for rate in (1e-4, 2e-3, 1e-4)]
    assert rates[0] == rates[2] != rates[1]


def test_a_pruned_report_ends_the_training(tuned):
    plan = _training(tuned, "coarse")
    seen = []

    def report(step, value):
        seen.append(step)
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        TrainingObjective(plan, CPU)(plan.config, report)
    assert seen == [1]


def test_a_pruned_training_keeps_no_state(tuned):
    plan = _training(tuned, "coarse")

    kept = []

    def report(step, value):
        kept.append(len(list((plan.folder / "checkpoints").rglob("*.safetensors"))))
        if step == 2:
            raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        TrainingObjective(plan, CPU)(plan.config, report)
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


@pytest.mark.parametrize("network", ["coarse", "fine"])
def test_a_trial_trains_as_long_as_the_section_says(plan, network):
    config = changed(plan.config, tune__training={"network": network, "steps": 7, "validate_every": 3})
    section = getattr(shortened(config), network)
    assert (section.steps, section.validate_every, section.checkpoint_every) == (7, 3, 3)
    assert getattr(plan.config, network).steps != 7
