"""Scans on disk, an untrained model at 4 mm, and a way to run the command line."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from typer.testing import CliRunner, Result

from bmenet.cli import app
from bmenet.config import load_config
from bmenet.imaging.brain_extraction import Brain
from bmenet.imaging.volume import Volume
from bmenet.networks.coarse import build_coarse
from bmenet.networks.weights import save_weights
from bmenet.registration import Registration
from bmenet.restoration import enhancer

CANARY = "JaneDoe19"


@pytest.fixture
def bmenet() -> Callable[..., Result]:
    """Return a function that runs a command line and never lets a bug pass for an exit code."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def scan_path(workspace: Path, phantom: Volume) -> Path:
    """A stripped int16 scan on a grid of its own, with a canary in every free text of its header."""
    affine = np.diag([-4.0, -4.0, 4.0, 1.0])
    affine[:3, 3] = phantom.affine[:3, 3] + [4 * 39 + 2, 4 * 55 + 1, 3]
    data = ndimage.gaussian_filter(phantom.data, 0.7)[::-1, ::-1] * 900
    image = nib.Nifti1Image(data.astype(np.int16), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = CANARY
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", CANARY.encode()))
    path = workspace / f"{CANARY}.nii.gz"
    nib.save(image, path)
    return path


@pytest.fixture
def weights(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of an untrained Coarse-net of the smoke profile, where the workspace expects them: the model to use."""
    monkeypatch.setenv("BMENET_MODEL", "weights/coarse")
    config = load_config().coarse
    torch.manual_seed(0)
    folder = workspace / "weights" / "coarse"
    save_weights(
        folder,
        "coarse",
        build_coarse(config),
        {"config": config.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}},
    )
    return folder


@pytest.fixture
def lone_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every scan be a lone brain that lies in the standard space already, and give it all of the restoration."""
    alignment = Registration(np.eye(4), 0.9, "stub")
    monkeypatch.setattr(enhancer, "find_brain", lambda volume, *_: Brain(volume.data > 0, True, "background"))
    monkeypatch.setattr(enhancer, "white_to_grey", lambda volume: 1.3)
    monkeypatch.setattr(enhancer, "register", lambda volume, config: alignment)
    monkeypatch.setattr(enhancer, "check_aligned", lambda volume, config: alignment)
    # An untrained network changes so little that the scan would come back as it came.
    monkeypatch.setattr(enhancer, "adaptive_strength", lambda *_: 1.0)
