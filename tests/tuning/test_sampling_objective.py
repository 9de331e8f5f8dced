"""What a trial measures: the second stage as it is, sampled otherwise, or networks that were trained for it."""

from collections import Counter
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
from tests.tuned import changed

CPU = torch.device("cpu")


def test_the_present_values_reach_what_the_second_stage_reaches(plan):
    reported = []
    found = SamplingObjective(plan, CPU)(plan.config, lambda step, value: reported.append((step, value)))
    net = FineNet.from_folder(plan.layout.weights_folder)
    gains = []
    for subject, code in plan.cases:
        coarse, clean = map(load_unit_volume, (plan.given_path(subject, code), plan.layout.clean(subject)))
        restored = clean.with_data(net.restore(coarse.data, plan.config.sampling, plan.config.seed).data)
        brain = foreground_mask(clean.data)
        before, after = (METRICS["psnr_brain"](volume, clean, brain) for volume in (coarse, restored))
        assert found.cases[f"{plan.validation.index(subject)} {code}"] == {"psnr_brain": pytest.approx(after, abs=1e-4)}
        gains.append(after - before)
    assert found.gains == pytest.approx(gains, abs=1e-4)
    assert reported == [(1, found.gains[0]), (2, pytest.approx(np.mean(found.gains)))]
    assert found.values(["quality"]) == [pytest.approx(np.mean(gains), abs=1e-4)]
    assert found.values(["seconds", "quality"])[0] > 0
    assert sorted(found.picture) == ["clean", "given", "restored"]
    unchanged = changed(plan.config, sampling__strength=0.0, sampling__compose="residual")
    assert SamplingObjective(plan, CPU)(unchanged, lambda *_: None).gains == pytest.approx([0.0, 0.0], abs=1e-4)


def test_a_pruned_trial_restores_no_further_case(plan):
    seen = []

    def report(step, value):
        seen.append(step)
        raise optuna.TrialPruned

    with pytest.raises(optuna.TrialPruned):
        SamplingObjective(plan, CPU)(plan.config, report)
    assert seen == [1]


def test_what_is_remembered_changes_no_volume_and_is_computed_once_for_each(plan, monkeypatch):
    net = FineNet.from_folder(plan.layout.weights_folder)
    remembering = replace(net, networks=RememberingNetworks(net.networks))
    given = [load_unit_volume(plan.given_path(*case)).data for case in plan.cases]
    trials = [changed(plan.config, sampling__strength=strength, sampling__steps=2) for strength in (0.25, 1.0)]
    expected = [net.restore(coarse, config.sampling).data for coarse in given for config in trials]
    calls = Counter()
    for name in ("encode", "encode_edges", "covariates", "noises", "decode"):
        call = getattr(net.networks, name)
        monkeypatch.setattr(
            type(net.networks), name, lambda _, *given, call=call, name=name: calls.update([name]) or call(*given)
        )
    restored = [remembering.restore(coarse, config.sampling).data for coarse in given for config in trials]
    np.testing.assert_array_equal(restored, expected)
    assert calls == {"encode": 2, "encode_edges": 2, "covariates": 2, "noises": 8, "decode": 6}
    assert remembering.networks.saved_seconds > 0


def test_what_was_remembered_cannot_be_changed_by_who_asked(plan):
    networks = RememberingNetworks(FineNet.from_folder(plan.layout.weights_folder).networks)
    volume = torch.rand(1, 1, 40, 56, 40)
    first = networks.encode(volume)
    kept = first.clone()
    first.zero_()
    assert torch.equal(networks.encode(volume), kept)
