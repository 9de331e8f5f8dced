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
from tests.fine_networks import make_fine_net, save_fine_net
from tests.tuned import TEST, TRAIN, VALIDATION, changed, plan_of

TRAINING = {"tune__scope": "training"}
FINE = TRAINING | {"tune__training__network": "fine"}


def test_a_plan_knows_training_and_validation_subjects_only(plan):
    assert (plan.train, plan.validation) == (TRAIN, VALIDATION)
    assert plan.cases == [(subject, "111") for subject in VALIDATION]
    assert plan_of(plan.layout.root, tune__validation_volumes=1).validation == VALIDATION[:1]


@pytest.mark.parametrize(
    "values",
    [
        {"tune__trials": 9},
        {"tune__timeout_s": 5.0},
        {"tune__sampler": "random"},
        {"tune__pruner": "median"},
        {"storage": "sqlite:///other.db"},
        {"tune__composites__anatomy": {"dice": 1.0}},
        {"sampling__steps": 3, "sampling__guidance__window": 7, "sampling__compose": "decode"},
        {"coarse__edge_weight": 2.0},
        {"evaluate__bootstrap": 200},
        {"tune__training__steps": 3},
    ],
)
def test_what_decides_nothing_keeps_the_study(plan, values):
    assert plan_of(plan.layout.root, **values).name == plan.name


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1},
        {"sampling__samples": 2},
        {"sampling__solver": "ddim"},
        {"tune__search_space__sampling__sampling.strength": None},
        {"tune__composites__quality__psnr_brain": 2.0},
        {"tune__objectives": ["anatomy"]},
        {"tune__objectives": ["quality", "seconds"]},
        {"tune__validation_volumes": 1},
        {"tune__codes": ["111", "000"]},
        TRAINING,
        FINE,
    ],
)
def test_what_decides_makes_another_study(plan, values):
    if "tune__search_space__sampling__sampling.strength" in values:
        space = {key: found.model_dump(mode="json") for key, found in plan.config.tune.space.items()}
        space["sampling.strength"]["high"] = 0.9
        values = {"tune__search_space__sampling": space}
    other = plan_of(plan.layout.root, **values)
    assert other.name != plan.name
    assert other.folder != plan.folder


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


@pytest.mark.parametrize("volume", ["clean", "coarse"])
def test_another_validation_volume_makes_another_study(plan, volume):
    layout, name = plan.layout, plan.name
    _brighten(layout.clean(VALIDATION[0]) if volume == "clean" else layout.coarse(VALIDATION[0], "111"))
    assert plan_of(layout.root).name != name


def test_other_weights_make_another_study(plan):
    name, net = plan.name, make_fine_net(reference_variance=[0.04, 0.4, 0.004])
    with torch.no_grad():
        next(net.networks.autoencoder.parameters()).add_(0.1)
    save_fine_net(net, plan.layout.weights_folder)
    assert plan_of(plan.layout.root).name != name


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


def test_a_missing_split_is_named(tuned):
    Layout(tuned).split.unlink()
    with pytest.raises(VolumeError, match=r"split\.json"):
        plan_of(tuned)


@pytest.mark.parametrize("subset", ["validation", "train"])
def test_a_subset_without_subjects_is_named(tuned, subset):
    layout = Layout(tuned)
    write_json(layout.split, read_json(layout.split) | {subset: []})
    with pytest.raises(ConfigError, match=rf"split\.{subset}"):
        plan_of(tuned, **TRAINING)


@pytest.mark.parametrize("volume", ["clean", "coarse"])
def test_a_missing_validation_volume_is_named(tuned, volume):
    layout = Layout(tuned)
    path = layout.clean(VALIDATION[1]) if volume == "clean" else layout.coarse(VALIDATION[1], "111")
    path.unlink()
    with pytest.raises(VolumeError, match=f"{path.name}.*1 are missing.*coarsen"):
        plan_of(tuned)


def test_a_missing_degraded_volume_is_named(tuned):
    Layout(tuned).degraded(VALIDATION[0], "111").unlink()
    with pytest.raises(VolumeError, match="degrade"):
        plan_of(tuned, **TRAINING)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_weights_are_named(tuned, kind):
    for path in Layout(tuned).weights(kind).iterdir():
        path.unlink()
    with pytest.raises(WeightsError, match=f"{kind}.*train_fine"):
        plan_of(tuned)
    plan_of(tuned, **TRAINING)  # the Coarse-net needs no others
    if kind == "fine":
        plan_of(tuned, **FINE)


def test_codes_without_a_coarse_result_are_refused(plan):
    with pytest.raises(ConfigError, match=r"tune\.codes.*'100'"):
        Plan.of_workspace(changed(plan.config, tune__codes=["111", "100"]), plan.layout)


def test_a_present_value_out_of_its_range_is_refused(plan):
    with pytest.raises(ConfigError, match=r"sampling\.steps"):
        Plan.of_workspace(changed(plan.config, sampling__steps=7), plan.layout)
