"""Made-up bundles, a stand-in for the code that serves them, and a workspace whose registry already has its tables."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from bmenet import __version__
from bmenet.config import load_config
from bmenet.imaging.grid import standard_grid
from bmenet.networks.slab import input_channels
from bmenet.release.registry import Registry, Version
from bmenet.restoration.bundle import MANIFEST_FILE, Bundle, Graph, Manifest, open_bundle
from bmenet.restoration.bundle.manifest import SIGNATURES, File, FineSettings, Tensor
from bmenet.runtime.files import sha256, write_json, write_text
from bmenet.tracking.store import Place, Store

_KEPT = tempfile.TemporaryDirectory(prefix="bmenet-tests-")  # gone with the process
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
    """Write a bundle of one file; another content makes it another bundle."""
    config = load_config()
    write_text(folder / "weights" / "coarse" / "model.safetensors", content)
    spec = {"config": config.coarse.model_dump(mode="json"), "spacing_mm": spacing_mm}
    write_json(folder / "weights" / "coarse" / "model.json", spec)
    names = {"coarse": (("slab",), ("restored",))} | (SIGNATURES if has_fine else {})
    if has_fine:
        names["denoiser"] = (names["denoiser"][0], ("steered",))
        write_json(folder / "weights/fine/model.json", {"reference_variance": None, "max_timestep": 400})
        write_json(folder / "weights/denoiser/model.json", {"diffusion": config.diffusion.model_dump(mode="json")})
        write_json(folder / "weights/autoencoder/model.json", {"scale": [1.0], "shift": [0.0]})
    graphs = {}
    for name, (inputs, outputs) in names.items():
        write_text(folder / "graphs" / f"{name}.onnx", name)
        channels = input_channels(config.coarse.context_slices)
        tensors = [
            [Tensor(name=one, shape=[1, channels], dtype="float32") for one in ones] for ones in (inputs, outputs)
        ]
        graphs[name] = Graph(path=f"graphs/{name}.onnx", inputs=tensors[0], outputs=tensors[1])
    files = {
        path.relative_to(folder).as_posix(): File(bytes=path.stat().st_size, sha256=sha256(path))
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST_FILE
    }
    fine = FineSettings(
        diffusion=config.diffusion,
        max_timestep=400,
        reference_variance=None,
        latent_scale=[1.0],
        latent_shift=[0.0],
        sampling=config.sampling,
    )
    manifest = Manifest(
        format_version=1,
        bmenet=__version__,
        spacing_mm=spacing_mm,
        grid_shape=standard_grid(spacing_mm).shape,
        opset=20,
        coarse=config.coarse,
        fine=fine if has_fine else None,
        graphs={"fp32": graphs},
        files=files,
        lineage={
            "git.commit": "0" * 40,
            "dvc.md5.data/registered": "1" * 32 + ".dir",
            "dvc.md5.data/split.json": split,
        },
    )
    write_json(folder / MANIFEST_FILE, manifest.model_dump(mode="json"))
    return open_bundle(folder)


@cache
def _empty_database() -> Path:
    """Make the tables once a session: that takes seconds."""
    folder = Path(_KEPT.name)
    Store(Place(folder, f"sqlite:///{folder / 'mlflow.db'}"))
    return folder / "mlflow.db"


def make_store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give a workspace an empty store, and the code that serves models."""
    for name in ("MLFLOW_TRACKING_URI", "BMENET_EXECUTION", "RANK"):
        monkeypatch.delenv(name, raising=False)
    write_text(workspace / "mlflow" / "enhance_model.py", SERVING_CODE)
    shutil.copy(_empty_database(), workspace / "mlflow" / "mlflow.db")
    return Place.of_workspace()


def make_run(registry: Registry) -> str:
    """Return the id of a run that models can belong to."""
    artifacts = (Path("mlflow") / "artifacts").absolute().as_uri()
    found = registry.client.get_experiment_by_name("bmenet")
    experiment = found.experiment_id if found else registry.client.create_experiment("bmenet", artifacts)
    return registry.client.create_run(experiment).info.run_id


def publish(registry: Registry, content: str, run_id: str | None = None) -> Version:
    """Register a made-up bundle."""
    bundle = make_bundle(Path("bundles") / content / "bundle", content)
    return registry.register(
        bundle, Path("mlflow/enhance_model.py"), run_id or make_run(registry), {"profile": "smoke"}
    )
