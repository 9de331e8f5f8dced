"""Weights rounded to float16: one copy for both runtimes, the same networks for all that can be seen."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from bmenet.networks.coarse_weights import load_coarse
from bmenet.release.export import run as module
from bmenet.release.export.rounding import MIN_PSNR_DB, measure_rounding
from bmenet.release.export.run import Exported, export
from bmenet.release.export.storage import round_networks
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.bundle.external_data import external_files
from bmenet.restoration.onnx.session import Sessions
from bmenet.restoration.torch_networks import load_networks
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256
from tests.bundled import save_networks
from tests.fine_networks import smoke_config

STORED = "weights/coarse/model.safetensors"
GRAPHS = ("coarse.fp32.onnx", "coarse.fp16.onnx")


def _config(storage: str = "fp16"):
    config = smoke_config()
    changes = {"storage": storage, "precisions": ["fp32", "fp16"]}
    return config.model_copy(update={"export": config.export.model_copy(update=changes)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """All networks as they were trained, every child with the checksums of its parents."""
    weights = tmp_path_factory.mktemp("trained")
    save_networks(weights)
    for kind, parents in {"prior": ["autoencoder"], "fine": ["autoencoder", "prior"]}.items():
        path = weights / kind / "model.json"
        spec = json.loads(path.read_text())
        spec["parents"] = {parent: sha256(weights / parent / "model.json") for parent in parents}
        path.write_text(json.dumps(spec))
    return weights


@pytest.fixture(scope="module")
def first_stage(trained, tmp_path_factory) -> Path:
    weights = tmp_path_factory.mktemp("first_stage")
    shutil.copytree(trained / "coarse", weights / "coarse")
    return weights


@pytest.fixture(scope="module")
def exported(first_stage) -> Exported:
    return export(first_stage, first_stage / "bundle", _config(), {})


def test_stored_kernels_are_float16_and_compute_as_float32(exported, first_stage):
    stored = load_file(exported.bundle.folder / STORED)
    trained = load_file(first_stage / "coarse" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {torch.float16}
    network, spec = load_coarse(exported.bundle.weights / "coarse")
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        expected = trained[name].half().float() if tensor.ndim > 1 else trained[name]
        assert torch.equal(tensor, expected), name
    assert spec["trained_sha256"] == sha256(first_stage / "coarse" / "model.safetensors")


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_read_the_stored_weights(exported, graph):
    content = (exported.bundle.folder / graph).read_bytes()
    assert external_files(content, graph) == [STORED]
    kernels = [
        tensor.numpy() for tensor in load_file(exported.bundle.folder / STORED).values() if tensor.nbytes >= 4096
    ]
    assert kernels
    assert not [kernel for kernel in kernels for dtype in ("f2", "f4") if kernel.astype(dtype).tobytes() in content]


@pytest.mark.parametrize("graph", GRAPHS)
def test_onnx_runtime_opens_such_a_graph_by_its_path(exported, graph):
    manifest = exported.bundle.manifest
    slab = np.random.default_rng(0).random((2, manifest.graphs["fp32"]["coarse"].inputs[0].shape[1], 40, 56))
    feed = {"slab": slab.astype(np.float32)}
    plain = onnxruntime.InferenceSession(exported.bundle.folder / graph, providers=["CPUExecutionProvider"])
    precision = graph.split(".")[1]
    ours = Sessions(open_bundle(exported.bundle.folder), precision).session("coarse", {})
    np.testing.assert_array_equal(plain.run(None, feed)[0], ours.run(None, feed)[0])
    network, _ = load_coarse(exported.bundle.weights / "coarse")
    with torch.no_grad():
        expected = network(torch.from_numpy(feed["slab"])).numpy()
    tolerance = {"fp32": 1e-5, "fp16": 1e-2}[precision] * np.abs(expected).max()
    np.testing.assert_allclose(plain.run(None, feed)[0], expected, rtol=0, atol=tolerance)


def test_both_precisions_and_the_rounding_are_reported(exported):
    metrics = exported.metrics()
    assert all(row.is_kept for row in exported.parity)
    assert metrics["rounding_psnr_db"]["coarse"] > MIN_PSNR_DB
    assert set(metrics["onnx_megabytes"]) == {"fp32", "fp16"}
    sizes = [*metrics["onnx_megabytes"].values(), metrics["weights_megabytes"]]
    assert sum(sizes) == pytest.approx(metrics["bundle_megabytes"])


def test_other_weights_than_those_that_were_trained_are_seen(exported, first_stage, tmp_path):
    network, spec = load_coarse(first_stage / "coarse")
    tensors = {name: 1.2 * tensor for name, tensor in network.state_dict().items()}
    (tmp_path / "coarse").mkdir()
    save_file(tensors, tmp_path / "coarse" / "model.safetensors")
    digest = sha256(tmp_path / "coarse" / "model.safetensors")
    (tmp_path / "coarse" / "model.json").write_text(json.dumps(spec | {"sha256": digest}))
    assert measure_rounding(tmp_path, exported.bundle)["coarse"] < MIN_PSNR_DB


def test_rounding_that_can_be_seen_is_refused_and_the_old_bundle_stays(exported, first_stage, tmp_path, monkeypatch):
    old = Path(shutil.copytree(exported.bundle.folder, tmp_path / "bundle"))
    monkeypatch.setattr(module, "measure_rounding", lambda *_: {"coarse": 42.0})
    monkeypatch.setattr(module, "measure_parity", lambda *_: [])
    with pytest.raises(WeightsError, match=r"to 60 dB; got coarse: 42\.0 dB; .*set export\.storage to fp32"):
        export(first_stage, old, _config(), {})
    assert open_bundle(old).digest == exported.bundle.digest


def test_float32_is_not_rounded_nor_compared_with_itself(first_stage, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "measure_rounding", lambda *_: pytest.fail("nothing was rounded"))
    monkeypatch.setattr(module, "measure_parity", lambda *_: [])
    found = export(first_stage, tmp_path / "bundle", _config("fp32"), {})
    assert (found.bundle.folder / STORED).read_bytes() == (first_stage / "coarse" / "model.safetensors").read_bytes()
    assert "rounding_psnr_db" not in found.metrics()


def test_rounded_networks_still_belong_together(trained, tmp_path):
    kinds = ["autoencoder", "edge_autoencoder", "prior", "covariates", "fine"]
    round_networks(trained, kinds, tmp_path)
    networks, specs = load_networks(tmp_path)
    assert specs["fine"]["parents"]["prior"] == sha256(tmp_path / "prior" / "model.json")
    assert specs["fine"]["parents"]["prior"] != sha256(trained / "prior" / "model.json")
    assert {parameter.dtype for parameter in networks.control.parameters()} == {torch.float32}


def test_networks_that_do_not_belong_together_are_not_rounded_into_a_family(trained, tmp_path):
    copy = Path(shutil.copytree(trained, tmp_path / "weights"))
    spec = json.loads((copy / "prior" / "model.json").read_text())
    (copy / "prior" / "model.json").write_text(json.dumps(spec | {"lineage": {"seed": 1}}))
    with pytest.raises(WeightsError, match=r"fine: expected the prior it was trained with; got another one"):
        round_networks(copy, ["autoencoder", "prior", "fine"], tmp_path / "rounded")


def test_a_weight_beyond_float16_is_refused(first_stage, tmp_path):
    copy = Path(shutil.copytree(first_stage / "coarse", tmp_path / "coarse"))
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.ndim > 1)
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] = 1e5
    save_file(tensors, copy / "model.safetensors")
    spec = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(spec | {"sha256": sha256(copy / "model.safetensors")}))
    with pytest.raises(WeightsError, match=r"at most 65504; got 1e\+05 in .*set export\.storage to fp32"):
        round_networks(tmp_path, ["coarse"], tmp_path / "rounded")
