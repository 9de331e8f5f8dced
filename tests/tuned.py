"""A workspace that can be tuned, at 4 mm: phantoms, untrained networks; and what tests ask of it."""

import atexit
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import optuna
import pytest
import yaml

from bmenet.config import Config, load_config, with_values
from bmenet.config.profiles import load_profile
from bmenet.data.layout import Layout
from bmenet.degradation.case import write_case
from bmenet.imaging.volume import Volume, load_unit_volume, save_unit_volume
from bmenet.runtime.files import write_json
from bmenet.tuning.objective import Outcome, Report
from bmenet.tuning.plan import Plan
from bmenet.tuning.study import counted, open_study
from bmenet.tuning.trial import TrialRunner
from tests.bundled import save_networks
from tests.registered import save_registered

TRAIN, VALIDATION, TEST = ("sub-canary1", "sub-canary2"), ("sub-canary3", "sub-canary4"), ("sub-canary5",)
QUICK = {
    "degradation.codes": ["111"],
    "coarse.code_weights": {"000": 1, "111": 2},
    "coarse.crop": [16, 16],
    "coarse.workers": 0,
    "tune.pruner": "none",
    "tune.composites": {"quality": {"psnr_brain": 1.0}, "anatomy": {"psnr_brain": 1.0, "ssim_brain": 50.0}},
    "evaluate.bootstrap": 100,
}
"""A trial of the present values takes a fraction of a second."""


def fill_workspace(root: Path, phantom: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a workspace with profiles all that a study needs, and params.yaml the quick values; nothing is sent away."""
    for name in ("MLFLOW_TRACKING_URI", "BMENET_EXECUTION", "BMENET_STUDIES", "BMENET_WORKERS", "RANK"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(_template(phantom.data.tobytes(), phantom), root, dirs_exist_ok=True)
    write_values(root, QUICK)


_templates: dict[bytes, Path] = {}


def _template(key: bytes, phantom: Volume) -> Path:
    """Return the folder that every workspace is copied from, written once a process."""
    if key in _templates:
        return _templates[key]
    root = Path(mkdtemp(prefix="bmenet-test-tuned-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    layout = Layout(root)
    config = load_profile("smoke")
    write_json(
        layout.split,
        {"train": list(TRAIN), "validation": list(VALIDATION), "test": list(TEST), "covariates": {}},
    )
    for number, subject in enumerate((*TRAIN, *VALIDATION, *TEST)):
        save_registered(layout, subject, phantom.with_data(phantom.data * np.float32(0.8 + 0.04 * number)))
        degraded = layout.degraded(subject, "111")
        write_case(layout.clean(subject), degraded, config.degradation.preset, "111", config.seed, subject)
        for code in ("000", "111"):
            given = load_unit_volume(layout.case_input(subject, code))
            save_unit_volume(layout.coarse(subject, code), given.with_data(given.data * (phantom.data > 0)))
    save_networks(layout.weights_folder)
    _templates[key] = root
    return root


def write_values(root: Path, values: dict[str, Any]) -> None:
    """Set dotted keys of params.yaml; comments go."""
    raw = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    for key, value in values.items():
        *sections, name = key.split(".")
        section = raw
        for part in sections:
            section = section[part]
        section[name] = value
    (root / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")


def plan_of(root: Path, storage: str | None = None, **values: Any) -> Plan:
    """Return the plan of a workspace; double underscores stand for the dots of other values.

    Trainings are in full precision, as in all tests: accelerate holds to one number format in a process.
    """
    exact = {"coarse__precision": "fp32", "training__precision": "fp32"}
    config = changed(load_config(root / "params.yaml"), **(exact | values))
    return Plan.of_workspace(config, Layout(root), storage)


def changed(config: Config, **values: Any) -> Config:
    """Return a configuration with other values, double underscores standing for dots."""
    return with_values(config, {key.replace("__", "."): value for key, value in values.items()})


def outcome(*gains: float, seconds: float = 1.0) -> Outcome:
    """Return the result of a trial with a case for each gain."""
    cases = {f"{number} 111": {"psnr_brain": gain} for number, gain in enumerate(gains)}
    return Outcome(list(gains), cases, [seconds] * len(gains), {"clean": np.zeros((8, 8, 8), np.float32)})


def scaled(config: Config, report: Report) -> Outcome:
    """An objective that wants the guidance to be strong; nothing is computed."""
    return outcome(config.sampling.guidance.scale, config.sampling.guidance.scale)


def run_trials(plan: Plan, *objectives: Callable[[Config, Report], Outcome]) -> optuna.Study:
    """Run a trial for each objective in this process, and return the study."""
    study = open_study(plan)
    for objective in objectives:
        budget = len(counted(study)) + 1
        TrialRunner(replace(plan, config=changed(plan.config, tune__trials=budget)), objective).run(study)
    return study


def states(study: optuna.Study) -> list[str]:
    """Return how every trial ended, in words."""
    return [trial.state.name.lower() for trial in study.get_trials(deepcopy=False)]
