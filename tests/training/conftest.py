import shutil
from pathlib import Path

import numpy as np
import pytest

from bmenet.config import Config, load_config, with_values
from bmenet.config.profiles import load_profile
from bmenet.data.layout import Layout
from bmenet.degradation.case import write_case
from bmenet.imaging.volume import Volume, save_mask, save_unit_volume
from bmenet.runtime.files import write_json
from tests.bundled import save_field

SPLIT = {"train": ["sub-01", "sub-02"], "validation": ["sub-03"], "test": []}


@pytest.fixture
def config(workspace: Path) -> Config:
    """The smoke profile, smaller, in full precision."""
    changes = {
        "steps": 12, "batch_size": 2, "crop": (24, 24), "validate_every": 6, "checkpoint_every": 2, "warmup_steps": 2,
        "workers": 0, "precision": "fp32", "planes": ["axial", "sagittal"], "code_weights": {"000": 1, "111": 2},
    }  # fmt: skip
    coarse = {f"coarse.{key}": value for key, value in changes.items()}
    return with_values(load_config(), coarse | {"degradation.codes": ["111"], "tracking.log_every": 3})


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory, phantom: Volume) -> Path:
    """Three registered and degraded phantoms, each of another brightness, and a field network, to be copied."""
    layout, config = Layout(tmp_path_factory.mktemp("phantoms")), load_profile("smoke")
    for number, subject in enumerate(SPLIT["train"] + SPLIT["validation"]):
        clean, degraded = layout.clean(subject), layout.degraded(subject, "111")
        save_unit_volume(clean, phantom.with_data(phantom.data * np.float32(0.9 + 0.1 * number)))
        write_json(layout.transform(subject), {"is_skull_stripped": True, "voxel_mm": [4.0, 4.0, 4.0]})
        save_mask(layout.brain_mask(subject), phantom.with_data(phantom.data > 0))
        write_case(clean, degraded, config.degradation.preset, "111", config.seed, subject)
    save_field(layout.weights_folder, level=0)
    return layout.root


@pytest.fixture
def layout(workspace: Path, phantoms: Path) -> Layout:
    """A workspace with the three phantoms."""
    shutil.copytree(phantoms, workspace, dirs_exist_ok=True)
    return Layout(workspace)
