"""ONNX Runtime says what torch says, graph by graph and from end to end; and a graph that does not is found."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bmenet.networks.coarse import build_coarse
from bmenet.networks.weights import save_weights
from bmenet.release.export import run as module
from bmenet.release.export import write
from bmenet.release.export.parity import TOLERANCES, Parity, measure_parity
from bmenet.release.export.run import export
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.bundle.read import Bundle
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256
from tests.bundled import smoke_bundle
from tests.fine_networks import smoke_config


@pytest.fixture(scope="module")
def rows() -> list[Parity]:
    return measure_parity(open_bundle(smoke_bundle()), ["fp32", "fp16"])


def test_every_graph_and_both_stages_are_compared(rows):
    graphs = {
        *(f"coarse, {plane}" for plane in ("axial", "coronal", "sagittal")),
        "encoder",
        "edge_encoder",
        "covariates",
        "denoiser",
        "decoder",
        "guidance",
    }
    for precision in ("fp32", "fp16"):
        found = {row.graph for row in rows if row.precision == precision}
        assert found == {*graphs, "coarse, end to end", "fine, end to end"}


def test_every_difference_is_within_its_tolerance(rows):
    assert [row for row in rows if not row.is_kept] == []


def test_float16_differs_and_float32_hardly_does(rows):
    errors = {(row.graph, row.precision): row.error for row in rows}
    for graph in ("denoiser", "covariates", "encoder", "decoder", "coarse, axial"):
        assert errors[graph, "fp16"] > 10 * errors[graph, "fp32"] > 0, graph
    assert errors["guidance", "fp16"] == errors["guidance", "fp32"]
    assert errors["fine, end to end", "fp32"] < 1e-4


def test_tolerances_are_far_below_what_can_be_seen():
    assert max(value for by_kind in TOLERANCES.values() for value in by_kind.values()) <= 0.01


def _with_other_weights(folder: Path) -> Bundle:
    """Return a bundle whose decoder has been given slightly other weights, and a description that knows it."""
    copy = Path(shutil.copytree(smoke_bundle(), folder / "bundle"))
    path = copy / "onnx" / "fp32" / "decoder.onnx"
    model = onnx.load(str(path))
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(largest)
    largest.CopyFrom(onnx.numpy_helper.from_array((1.01 * values).astype(np.float32), largest.name))
    onnx.save(model, str(path))
    manifest = json.loads((copy / "bundle.json").read_text())
    entry = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    manifest["files"]["onnx/fp32/decoder.onnx"] = entry
    (copy / "bundle.json").write_text(json.dumps(manifest))
    return open_bundle(copy)


def test_a_graph_with_other_weights_is_found(tmp_path):
    rows = {row.graph: row for row in measure_parity(_with_other_weights(tmp_path), ["fp32"])}
    assert not rows["decoder"].is_kept
    assert rows["encoder"].is_kept


@pytest.mark.parametrize("fails", [Parity("decoder", "fp32", 0.2, 0.1, 1e-4, 1.0, 1.0), MemoryError()])
def test_a_bundle_that_differs_does_not_replace_the_good_one(tmp_path, monkeypatch, fails):
    def measure(*_):
        if isinstance(fails, Exception):
            raise fails
        return [fails]

    copy = Path(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))
    before = open_bundle(copy).digest
    monkeypatch.setattr(module, "measure_parity", measure)
    monkeypatch.setattr(write, "write_graph", _copy_graph)
    with pytest.raises((WeightsError, MemoryError), match=r"decoder fp32: 2\.0e-01 > 1e-04|^$"):
        export(smoke_bundle() / "weights", copy, smoke_config(), {})
    assert open_bundle(copy).digest == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bundle.lock", "bundle"]


def _copy_graph(_plan, path: Path, _opset: int) -> None:
    """Stand in for the exporter: take the graph of the same name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(smoke_bundle() / "onnx" / "fp32" / path.name, path)


@pytest.mark.parametrize(
    ("arch", "planes"), [("unet", ["sagittal"]), ("unet", ["coronal", "axial"]), ("swinir", ["coronal"])]
)
def test_every_choice_of_planes_can_be_exported(tmp_path, arch, planes):
    config = smoke_config()
    coarse = config.coarse.model_copy(update={"arch": arch, "planes": planes})
    torch.manual_seed(0)
    spec = {"config": coarse.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}}
    save_weights(tmp_path / "weights" / "coarse", "coarse", build_coarse(coarse), spec)
    exported = export(tmp_path / "weights", tmp_path / "bundle", config, {})
    assert {row.graph for row in exported.parity} == {*(f"coarse, {plane}" for plane in planes), "coarse, end to end"}
