"""ONNX Runtime agrees with torch, graph by graph and from end to end; a graph that does not is found."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import save_file

from bmenet.networks.coarse import load_coarse
from bmenet.release.export.parity import MIN_PSNR_DB, TOLERANCES, Parity, measure_parity, measure_rounding
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.files import read_json, sha256, write_json
from tests.bundled import smoke_bundle


@pytest.fixture(scope="module")
def rows() -> list[Parity]:
    return measure_parity(open_bundle(smoke_bundle()), ["fp32", "fp16"])


def test_every_graph_and_both_stages_are_compared_and_within_their_tolerance(rows):
    graphs = {
        *(f"coarse, {plane}" for plane in ("axial", "coronal", "sagittal")),
        *("encoder", "edge_encoder", "covariates", "denoiser", "decoder", "guidance"),
        *("coarse, end to end", "fine, end to end"),
    }
    for precision in ("fp32", "fp16"):
        assert {row.graph for row in rows if row.precision == precision} == graphs
    assert [row for row in rows if not row.is_kept] == []
    assert max(value for by_kind in TOLERANCES.values() for value in by_kind.values()) <= 0.01


def test_float16_differs_and_float32_hardly_does(rows):
    errors = {(row.graph, row.precision): row.error for row in rows}
    for graph in ("denoiser", "covariates", "encoder", "decoder", "coarse, axial"):
        assert errors[graph, "fp16"] > 10 * errors[graph, "fp32"] > 0, graph
    assert errors["guidance", "fp16"] == errors["guidance", "fp32"]
    assert errors["fine, end to end", "fp32"] < 1e-4


def test_a_graph_with_slightly_other_weights_is_found(tmp_path):
    copy = Path(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))
    path = copy / "onnx" / "fp32" / "decoder.onnx"
    model = onnx.load(str(path))
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(largest)
    largest.CopyFrom(onnx.numpy_helper.from_array((1.01 * values).astype(np.float32), largest.name))
    onnx.save(model, str(path))
    manifest = read_json(copy / "bundle.json")
    manifest["files"]["onnx/fp32/decoder.onnx"] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
    write_json(copy / "bundle.json", manifest)
    rows = {row.graph: row for row in measure_parity(open_bundle(copy), ["fp32"])}
    assert not rows["decoder"].is_kept
    assert rows["encoder"].is_kept


def test_other_weights_than_those_that_were_trained_are_seen(tmp_path):
    bundle = open_bundle(smoke_bundle())
    shutil.copytree(bundle.weights, tmp_path, dirs_exist_ok=True)
    assert measure_rounding(tmp_path, bundle) == {"coarse": 100.0, "fine": 100.0}
    network, spec = load_coarse(tmp_path / "coarse")
    path = tmp_path / "coarse" / "model.safetensors"
    save_file({name: 1.2 * tensor for name, tensor in network.state_dict().items()}, path)
    write_json(path.with_name("model.json"), spec | {"sha256": sha256(path)})
    assert measure_rounding(tmp_path, bundle)["coarse"] < MIN_PSNR_DB
