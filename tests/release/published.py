"""Made-up bundles that brighten dark validation volumes, and a workspace whose registry already has its tables."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bmenet.data.layout import Layout
from bmenet.imaging.grid import standard_grid
from bmenet.imaging.volume import Volume, save_unit_volume
from bmenet.release.registry import Registry, Version
from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, open_bundle
from bmenet.runtime.files import read_json, sha256, write_json, write_text
from tests.bundled import smoke_bundle
from tests.registered import save_registered
from tests.stores import add_store

SUBJECTS = ("sub-01", "sub-02", "sub-03")

SERVING_CODE = """
import mlflow

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        raise RuntimeError("a model must not be loaded to be registered")

    def predict(self, context, model_input, params=None):
        raise RuntimeError("a model must not be run to be registered")

mlflow.models.set_model(Model())
"""


def make_bundle(
    folder: Path, content: str = "weights", spacing_mm: int = 4, has_fine: bool = False, split: str = "2" * 32
) -> Bundle:
    """Write a bundle whose weights are a text; another content makes it another bundle."""
    manifest = read_json(smoke_bundle() / MANIFEST_FILE)
    graphs = {
        name: graph
        for name, graph in manifest["graphs"]["fp32"].items()
        if name == "coarse" or (has_fine and name != "field")
    }
    kinds = ("coarse", "fine", "denoiser", "autoencoder") if has_fine else ("coarse",)
    for graph in graphs.values():
        write_text(folder / graph["path"], graph["path"])
    for kind in kinds:
        spec = read_json(smoke_bundle() / "weights" / kind / "model.json")
        write_json(folder / "weights" / kind / "model.json", spec | {"spacing_mm": spacing_mm})
    write_text(folder / "weights" / "coarse" / "model.safetensors", content)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_FILE
    }
    lineage = {"git.commit": "0" * 40, "dvc.md5.data/registered": f"{'1' * 32}.dir", "dvc.md5.data/split.json": split}
    changes = {"spacing_mm": spacing_mm, "grid_shape": standard_grid(spacing_mm).shape, "lineage": lineage}
    changes |= {
        "field": None,
        "graphs": {"fp32": graphs},
        "files": files,
        "fine": manifest["fine"] if has_fine else None,
    }
    write_json(folder / MANIFEST_FILE, manifest | changes)
    return open_bundle(folder)


def make_store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a workspace an empty store, and the code that serves models."""
    for name in ("MLFLOW_TRACKING_URI", "BMENET_EXECUTION", "RANK"):
        monkeypatch.delenv(name, raising=False)
    write_text(workspace / "mlflow" / "enhance_model.py", SERVING_CODE)
    add_store(workspace)


def make_run(registry: Registry) -> str:
    """Return the id of a run that models can belong to."""
    artifacts = (Path("mlflow") / "artifacts").absolute().as_uri()
    found = registry.client.get_experiment_by_name("bmenet")
    experiment = found.experiment_id if found else registry.client.create_experiment("bmenet", artifacts)
    return registry.client.create_run(experiment).info.run_id


def publish(registry: Registry, content: str, run_id: str | None = None) -> Version:
    """Register a made-up bundle."""
    bundle = make_bundle(Path("bundles") / content / "bundle", content)
    run_id = run_id or make_run(registry)
    return registry.register(bundle, Path("mlflow/enhance_model.py"), run_id, {"profile": "smoke"})


@dataclass(frozen=True)
class Brightener:
    """Multiplies by a gain: 1.25 is right."""

    gain: float

    def restore(self, volume: Volume) -> Volume:
        return volume.with_data(volume.data * self.gain)


def load_brightener(bundle: Bundle, stage: str) -> Brightener:
    """Read the gain where a real bundle has its weights."""
    return Brightener(float((bundle.folder / "weights" / "coarse" / "model.safetensors").read_text()))


def write_validation(phantom: Volume, subjects: tuple[str, ...] = SUBJECTS) -> None:
    """Write a split, and clean and dark volumes of the validation subjects, each of its own brightness."""
    layout = Layout()
    write_json(layout.split, {"train": ["sub-90"], "validation": list(subjects), "test": ["sub-91"]})
    for number, subject in enumerate(subjects):
        clean = phantom.with_data(phantom.data * (1 - 0.05 * number))
        save_registered(layout, subject, clean)
        save_unit_volume(layout.degraded(subject, "111"), clean.with_data(clean.data * 0.8))
