"""A bundle of untrained networks of the smoke profile: both stages, both number formats."""

import os
import shutil
import time
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import pytest
import torch
from filelock import FileLock

import tests.bundled
import tests.fine_networks
from bmenet.config import ExportConfig
from bmenet.networks.coarse import build_coarse
from bmenet.networks.field import FIELD, FieldNet
from bmenet.networks.weights import save_weights
from bmenet.release.export.write import write_bundle
from bmenet.release.released import DEFAULT_NAME
from bmenet.restoration.fine_net import DEFAULT_SAMPLING
from bmenet.runtime.code import code_hash
from tests.fine_networks import make_fine_net, save_fine_net, smoke_config

EXPORT = ExportConfig(precisions=["fp32", "fp16"], storage="fp32", opset=20)
SAMPLING = DEFAULT_SAMPLING.model_copy(update={"steps": 2, "start_timestep": 100})
_KEPT_S = 24 * 3600


def save_field(weights: Path, level: float = 3.0) -> FieldNet:
    """Write an untrained field network that tells some field, the stronger the higher the level; 0: none."""
    config = smoke_config().field
    torch.manual_seed(0)
    network = FieldNet(config).eval()
    torch.nn.init.normal_(network.tail.weight, std=level)
    spec = {"config": config.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}}
    save_weights(weights / FIELD, FIELD, network, spec)
    return network


def save_networks(weights: Path) -> None:
    """Write untrained networks that nevertheless do something, as the training stages do."""
    config = smoke_config().coarse
    torch.manual_seed(0)
    network = build_coarse(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05)
    spec = {"config": config.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}}
    save_weights(weights / "coarse", "coarse", network, spec)
    save_field(weights)
    net = make_fine_net(reference_variance=[0.04, 0.4, 0.004])
    with torch.no_grad():
        # What starts at zero would answer the same in any number format.
        for network in (net.networks.control, net.networks.covariate_encoder):  # type: ignore[attr-defined]
            for parameter in network.parameters():
                if not parameter.any():
                    parameter.normal_(std=0.05)
    save_fine_net(net, weights)


@cache
def smoke_bundle() -> Path:
    """Return the bundle's folder, written once for the code that writes it; nobody may change it: copy it first."""
    parts = [code_hash("bmenet.release.export.write"), smoke_config().model_dump_json()]
    parts += [Path(tests.bundled.__file__).read_text(), Path(tests.fine_networks.__file__).read_text()]
    parts += [version(library) for library in ("torch", "monai", "onnx", "onnxscript", "safetensors")]
    root = Path(gettempdir()) / f"bmenet-test-bundles-{os.getuid()}"
    folder = root / sha256("\n".join(parts).encode()).hexdigest()[:16]
    root.mkdir(mode=0o700, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # two workers need it at once; other code's bundle is none of theirs
        for old in root.glob("*/"):
            if time.time() - old.stat().st_mtime > _KEPT_S:
                shutil.rmtree(old, ignore_errors=True)
        if not folder.exists():
            with TemporaryDirectory(dir=root) as new:
                save_networks(Path(new) / "weights")
                write_bundle(Path(new) / "weights", Path(new) / "bundle", EXPORT, SAMPLING, {"profile": "smoke"})
                os.replace(Path(new) / "bundle", folder)
    return folder


def install_release(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = DEFAULT_NAME) -> Path:
    """Let the untrained bundle be what came with the package, under a name, and nothing else."""
    monkeypatch.setattr("bmenet.release.released.RELEASED_FOLDER", folder)
    return Path(shutil.copytree(smoke_bundle(), folder / name))
