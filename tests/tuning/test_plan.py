"""What makes a study another one, what does not, and what it never reads."""

import pytest
import torch

from bmenet.data.layout import Layout
from bmenet.imaging.volume import load_unit_volume, save_unit_volume
from bmenet.networks.fine_weights import KINDS
from bmenet.runtime.errors import ConfigError, VolumeError, WeightsError
from bmenet.runtime.files import read_json, write_json
from bmenet.tuning.plan import Plan
from bmenet.tuning.sampling_objective import SamplingObjective
from tests.bundled import save_field
from tests.fine_networks import make_fine_net, save_fine_net
from tests.tuned import TEST, TRAIN, VALIDATION, changed, plan_of

TRAINING = {"tune__scope": "training"}
FINE = TRAINING | {"tune__training__network": "fine"}


def test_a_plan_knows_training_and_validation_subjects_only(plan):
    assert (plan.train, plan.validation) == (TRAIN, VALIDATION)
    assert plan.cases == [(subject, "111") for subject in VALIDATION]
    assert plan_of(plan.layout.root, tune__validation_volumes=1).validation == VALIDATION[:1]


def test_what_decides_nothing_keeps_the_study(plan):
    for values in (
        {"tune__trials": 9, "tune__timeout_s": 5.0, "tune__sampler": "random", "tune__pruner": "median"},
        {"storage": "sqlite:///other.db"},
        {"tune__composites__anatomy": {"dice": 1.0}, "evaluate__bootstrap": 200},
        {"sampling__steps": 3, "sampling__guidance__window": 7, "sampling__compose": "decode"},
        {"coarse__edge_weight": 2.0, "tune__training__steps": 3},
    ):
        assert plan_of(plan.layout.root, **values).name == plan.name, values


def test_what_decides_makes_another_study(plan):
    space = {key: found.model_dump(mode="json") for key, found in plan.config.tune.space.items()}
    space["sampling.strength"]["high"] = 0.9
    decides = (
        {},
        {"seed": 1},
        {"sampling__samples": 2},
        {"sampling__solver": "ddim"},
        {"tune__search_space__sampling": space},
        {"tune__composites__quality__psnr_brain": 2.0},
        {"tune__objectives": ["anatomy"]},
        {"tune__objectives": ["quality", "seconds"]},
        {"tune__validation_volumes": 1},
        {"tune__codes": ["111", "000"]},
        TRAINING,
        FINE,
    )
    plans = [plan_of(plan.layout.root, **values) for values in decides]
    assert len({other.name for other in plans}) == len({other.folder for other in plans}) == len(decides)


@pytest.mark.parametrize("scope", [TRAINING, FINE])
def test_a_training_study_is_another_one_with_other_steps_settings_or_training_volumes(tuned, scope):
    name = plan_of(tuned, **scope).name
    section = "fine" if scope is FINE else "coarse"
    assert plan_of(tuned, **scope, **{f"{section}__edge_weight": 1.5}).name == name
    assert plan_of(tuned, **scope, **{f"{section}__batch_size": 3}).name != name
    assert plan_of(tuned, **scope, tune__training__steps=3).name != name
    _brighten(Layout(tuned).clean(TRAIN[0]))
    assert plan_of(tuned, **scope).name != name


def _brighten(path):
    volume = load_unit_volume(path)
    save_unit_volume(path, volume.with_data(volume.data * 0.99))


def test_another_validation_volume_or_other_weights_make_another_study(plan):
    layout, names = plan.layout, {plan.name}
    for path in (layout.clean(VALIDATION[0]), layout.coarse(VALIDATION[0], "111")):
        _brighten(path)
        names.add(plan_of(layout.root).name)
    net = make_fine_net(reference_variance=[0.04, 0.4, 0.004])
    with torch.no_grad():
        next(net.networks.autoencoder.parameters()).add_(0.1)
    save_fine_net(net, layout.weights_folder)
    assert len(names | {plan_of(layout.root).name}) == 4


def test_test_subjects_are_never_read(plan):
    name = plan.name
    before = SamplingObjective(plan, torch.device("cpu"))(plan.config, lambda *_: None)
    removed = [path for path in (plan.layout.root / "data").rglob(f"{TEST[0]}*") if path.is_file()]
    assert len(removed) >= 4
    for path in removed:
        path.unlink()
    after = plan_of(plan.layout.root)
    assert after.name == name
    assert SamplingObjective(after, torch.device("cpu"))(after.config, lambda *_: None).cases == before.cases
    assert plan_of(plan.layout.root, **TRAINING).train == TRAIN


@pytest.mark.parametrize("subset", ["validation", "train"])
def test_a_subset_without_subjects_is_named(tuned, subset):
    layout = Layout(tuned)
    write_json(layout.split, read_json(layout.split) | {subset: []})
    with pytest.raises(ConfigError, match=rf"split\.{subset}"):
        plan_of(tuned, **TRAINING)


def test_what_is_missing_is_named_with_the_stage_that_makes_it(tuned):
    layout = Layout(tuned)
    layout.degraded(VALIDATION[0], "111").unlink()
    with pytest.raises(VolumeError, match="degrade"):
        plan_of(tuned, **TRAINING)
    for path in (layout.coarse(VALIDATION[1], "111"), layout.clean(VALIDATION[1])):
        kept = path.rename(tuned / "kept")
        with pytest.raises(VolumeError, match=f"{path.name}.*1 are missing.*coarsen"):
            plan_of(tuned)
        kept.rename(path)
    layout.split.unlink()
    with pytest.raises(VolumeError, match=r"split\.json"):
        plan_of(tuned)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_weights_are_named(tuned, kind):
    for path in Layout(tuned).weights(kind).iterdir():
        path.unlink()
    with pytest.raises(WeightsError, match=f"{kind}.*train_fine"):
        plan_of(tuned)
    plan_of(tuned, **TRAINING)  # the Coarse-net needs no others
    if kind == "fine":
        plan_of(tuned, **FINE)


def test_trainings_of_the_coarse_net_need_the_field_network_and_another_one_makes_another_study(tuned):
    weights, name = Layout(tuned).weights_folder, plan_of(tuned, **TRAINING).name
    save_field(weights, level=0.1)
    assert plan_of(tuned, **TRAINING).name != name
    (weights / "field" / "model.json").unlink()
    with pytest.raises(WeightsError, match=r"field.*train_field"):
        plan_of(tuned, **TRAINING)
    plan_of(tuned)  # the second stage has its coarse volumes


def test_values_that_cannot_be_run_are_refused(plan):
    for values, word in (({"tune__codes": ["111", "100"]}, r"tune\.codes.*'100'"), ({"sampling__steps": 7}, "steps")):
        with pytest.raises(ConfigError, match=word):
            Plan.of_workspace(changed(plan.config, **values), plan.layout)
