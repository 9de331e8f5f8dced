"""ONNX Runtime agrees with torch, graph by graph and from end to end; a graph that does not is found."""

import shutil
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from bmenet.networks.coarse import load_coarse
from bmenet.release.export.parity import MIN_PSNR_DB, TOLERANCES, measure_parity, measure_rounding
from bmenet.release.export.write import add_texts
from bmenet.restoration.bundle import open_bundle
from bmenet.runtime.files import sha256, write_json
from tests.bundled import smoke_bundle


def test_every_graph_and_both_stages_are_compared_and_float16_differs_within_its_tolerance():
    rows = measure_parity(open_bundle(smoke_bundle()), ["fp32", "fp16"])
    graphs = {
        *(f"coarse, {plane}" for plane in ("axial", "coronal", "sagittal")),
        *("field", "encoder", "edge_encoder", "covariates", "denoiser", "decoder", "guidance"),
        *("coarse, end to end", "fine, end to end"),
    }
    errors = {(row.graph, row.precision): row.error for row in rows}
    assert errors.keys() == {(graph, precision) for graph in graphs for precision in ("fp32", "fp16")}
    assert [row for row in rows if not row.is_kept] == []
    assert max(value for by_kind in TOLERANCES.values() for value in by_kind.values()) <= 0.01
    for graph in ("field", "denoiser", "covariates", "encoder", "decoder", "coarse, axial"):
        assert errors[graph, "fp16"] > 10 * errors[graph, "fp32"] > 0, graph
    assert errors["guidance", "fp16"] == errors["guidance", "fp32"]
    assert errors["fine, end to end", "fp32"] < 1e-4


def test_other_weights_than_those_of_the_graphs_or_of_the_training_are_found(tmp_path):
    bundle = open_bundle(smoke_bundle())
    assert measure_rounding(bundle.weights, bundle) == {"coarse": 100.0, "fine": 100.0}
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "bundle"))
    path = folder / "weights" / "coarse" / "model.safetensors"
    network, spec = load_coarse(path.parent)
    save_file({name: 1.2 * tensor for name, tensor in network.state_dict().items()}, path)
    write_json(path.with_name("model.json"), spec | {"sha256": sha256(path)})
    graphs = {name: bundle.manifest.graphs["fp32"][name] for name in ("coarse", "field")}
    first_stage = {"fine": None, "graphs": {"fp32": graphs}}
    other = add_texts(replace(bundle, folder=folder, manifest=bundle.manifest.model_copy(update=first_stage)), {})
    assert [row.graph for row in measure_parity(other, ["fp32"]) if row.is_kept] == ["field"]
    assert measure_rounding(bundle.weights, other)["coarse"] < MIN_PSNR_DB
