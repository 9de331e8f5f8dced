"""Export writes, checks and replaces; TensorRT's engines are kept by GPU, version and bundle."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from bmenet.imaging.grid import standard_grid
from bmenet.networks.coarse import build_coarse, load_coarse
from bmenet.networks.slab import input_channels
from bmenet.networks.weights import save_weights
from bmenet.release.export import run as module
from bmenet.release.export.graphs import coarse_graphs
from bmenet.release.export.parity import MIN_PSNR_DB, Parity
from bmenet.release.export.run import Exported, build_engines, export, skipped
from bmenet.restoration import onnx_runtime as onnx_session
from bmenet.restoration import providers
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.onnx_runtime import OnnxCoarse, Sessions
from bmenet.restoration.providers import CACHE_VARIABLE, engine_folder, gpu_names
from bmenet.runtime.errors import BMENetError, WeightsError
from tests.bundled import save_networks, smoke_bundle
from tests.fine_networks import smoke_config


def _config(storage="fp16"):
    config = smoke_config()
    changes = {"storage": storage, "precisions": ["fp32", "fp16"]}
    return config.model_copy(update={"export": config.export.model_copy(update=changes)})


@pytest.fixture(scope="module")
def first_stage(tmp_path_factory) -> Path:
    weights = tmp_path_factory.mktemp("first_stage")
    save_networks(weights / "all")
    shutil.copytree(weights / "all" / "coarse", weights / "coarse")
    return weights


@pytest.fixture(scope="module")
def exported(first_stage) -> Exported:
    return export(first_stage, first_stage / "bundle", _config(), {}, documents=lambda _: {"CARD.md": "# Card"})


def test_exported_bundle_is_in_its_place_with_its_documents_and_measured(exported, first_stage):
    assert open_bundle(first_stage / "bundle") == exported.bundle
    assert "CARD.md" in exported.bundle.manifest.files
    metrics = exported.metrics()
    assert all(row.is_kept for row in exported.parity)
    assert metrics["rounding_psnr_db"]["coarse"] > MIN_PSNR_DB
    assert set(metrics["onnx_megabytes"]) == {"fp32", "fp16"}
    sizes = [*metrics["onnx_megabytes"].values(), metrics["weights_megabytes"]]
    assert sum(sizes) == pytest.approx(metrics["bundle_megabytes"], abs=1e-5)
    assert len(exported.table().splitlines()) == 1 + len(exported.parity)


@pytest.mark.parametrize("graph", ["coarse.fp32.onnx", "coarse.fp16.onnx"])
def test_a_graph_holds_no_copy_of_the_stored_weights_and_onnx_runtime_opens_it_by_its_path(exported, graph):
    content = exported.bundle.read_graph(graph)
    stored = load_file(exported.bundle.weights / "coarse" / "model.safetensors")
    kernels = [tensor.numpy() for tensor in stored.values() if tensor.nbytes >= 4096]
    assert kernels
    assert not [kernel for kernel in kernels for dtype in ("f2", "f4") if kernel.astype(dtype).tobytes() in content]
    manifest = exported.bundle.manifest
    channels = manifest.graphs["fp32"]["coarse"].inputs[0].shape[1]
    feed = {"slab": np.random.default_rng(0).random((2, channels, 40, 56), np.float32)}
    plain = onnxruntime.InferenceSession(exported.bundle.folder / graph, providers=["CPUExecutionProvider"])
    precision = graph.split(".")[1]
    ours = Sessions(open_bundle(exported.bundle.folder), precision).session("coarse", {})
    np.testing.assert_array_equal(plain.run(None, feed)[0], ours.run(None, feed)[0])
    network, _ = load_coarse(exported.bundle.weights / "coarse")
    with torch.no_grad():
        expected = network(torch.from_numpy(feed["slab"])).numpy()
    tolerance = {"fp32": 1e-5, "fp16": 1e-2}[precision] * np.abs(expected).max()
    np.testing.assert_allclose(plain.run(None, feed)[0], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parity": [Parity("decoder", "fp32", 0.2, 0.1, 1e-4, 1.0, 1.0)]},
            r"decoder fp32: 2\.0e-01 > 1e-04.*constraints",
        ),
        ({"rounding_db": {"coarse": 42.0}}, r"to 60 dB; got coarse: 42\.0 dB; set export\.storage to fp32"),
    ],
)
def test_results_that_differ_are_refused(exported, changes, message):
    exported.require_agreement()
    with pytest.raises(WeightsError, match=message):
        replace(exported, **changes).require_agreement()


def test_a_bundle_that_fails_its_check_does_not_replace_the_good_one(exported, first_stage, monkeypatch):
    monkeypatch.setattr(module, "write_bundle", lambda *_: exported.bundle)
    monkeypatch.setattr(module, "measure_parity", lambda *_: [replace(exported.parity[0], error=1.0)])
    monkeypatch.setattr(module, "measure_rounding", lambda *_: {})
    with pytest.raises(WeightsError, match="nothing was written"):
        export(first_stage, first_stage / "bundle", _config(), {})
    assert open_bundle(first_stage / "bundle").digest == exported.bundle.digest


@pytest.mark.parametrize(
    ("arch", "planes", "graph"),
    [("unet", ["coronal", "axial"], "coarse"), ("swinir", ["sagittal"], "coarse_sagittal")],
)
def test_every_choice_of_network_and_planes_can_be_exported(tmp_path, arch, planes, graph):
    config = _config("fp32") if arch == "swinir" else smoke_config()
    coarse = config.coarse.model_copy(update={"arch": arch, "planes": planes})
    torch.manual_seed(0)
    network = build_coarse(coarse)
    with torch.no_grad():
        for parameter in network.tail.parameters() if arch == "swinir" else ():
            parameter.normal_(std=0.1)  # untrained, it returns the slice as it is
    spec = {"config": coarse.model_dump(mode="json"), "spacing_mm": 4, "lineage": {}}
    save_weights(tmp_path / "weights" / "coarse", "coarse", network, spec)
    exported = export(tmp_path / "weights", tmp_path / "bundle", config, {})
    assert {row.graph for row in exported.parity} == {*(f"coarse, {plane}" for plane in planes), "coarse, end to end"}
    assert "rounding_psnr_db" not in exported.metrics()
    manifest = exported.bundle.manifest
    assert manifest.fine is None
    assert [set(graphs) for graphs in manifest.graphs.values()] == [{graph}] * len(config.export.precisions)
    if arch == "swinir":
        with pytest.raises(WeightsError, match=r"expected a graph for slices of \[8, 8\]"):
            OnnxCoarse(Sessions(exported.bundle))(torch.zeros(1, input_channels(coarse.context_slices), 8, 8))


def test_a_u_net_whose_slices_must_be_padded_gets_a_graph_a_plane():
    config = smoke_config().coarse
    config = config.model_copy(update={"unet": config.unet.model_copy(update={"levels": 4})})
    plans = coarse_graphs(build_coarse(config), config, standard_grid(4))
    shapes = {name: tuple(plan.inputs["slab"].shape[2:]) for name, plan in plans.items()}
    assert shapes == {"coarse_sagittal": (56, 40), "coarse_coronal": (40, 40), "coarse_axial": (40, 56)}


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(smoke_bundle())


@pytest.mark.skipif(bool(gpu_names()), reason="has a GPU")
def test_engines_without_a_gpu_are_refused(bundle):
    assert skipped() == "skipped: no GPU"
    with pytest.raises(BMENetError, match="expected a machine with TensorRT; skipped: no GPU"):
        build_engines(bundle, "fp32")


def test_engines_are_kept_by_gpu_version_and_bundle(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(providers, "_tensorrt_version", lambda: "101300")
    folders = set()
    for gpu in ("NVIDIA H100 80GB HBM3", "NVIDIA A100"):
        monkeypatch.setattr(providers, "gpu_names", lambda gpu=gpu: (gpu,))
        for digest in ("a" * 64, "b" * 64):
            folders |= {engine_folder(digest, precision) for precision in ("fp32", "fp16")}
    assert len(folders) == 8
    assert all(tmp_path in folder.parents for folder in folders)
    assert any("NVIDIA-H100-80GB-HBM3_trt-101300_ort-" in str(folder) for folder in folders)


def test_engines_are_built_for_every_graph_at_every_shape_of_a_volume(bundle, monkeypatch):
    opened = []
    load = Sessions._load
    monkeypatch.setattr(module, "why_not", lambda _: None)
    monkeypatch.setattr(onnx_session, "choose_providers", lambda _: ["cpu"])
    monkeypatch.setattr(Sessions, "_load", lambda *arguments: opened.append(arguments[1]) or load(*arguments))
    assert build_engines(bundle, "fp16").keys() == {"coarse", "fine"}
    assert set(opened) == set(bundle.manifest.graphs["fp32"])


def test_engines_are_cached_where_that_can_be_written_and_norms_stay_in_full_precision(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    sessions = Sessions(bundle, "fp16", ("tensorrt", "cuda", "cpu"))
    (name, options), *others = sessions._provider_options(is_half=True)
    assert name == "TensorrtExecutionProvider"
    assert options["trt_engine_cache_enable"] == options["trt_fp16_enable"] == "1"
    assert options["trt_layer_norm_fp32_fallback"] == "1"
    assert options["trt_engine_cache_path"] == str(engine_folder(bundle.digest, "fp16"))
    assert sessions._provider_options(is_half=False)[0][1]["trt_fp16_enable"] == "0"
    assert [name for name, _ in others] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(BMENetError, match=r"expected a folder for engines that can be written.*BMENET_CACHE"):
        Sessions(bundle, "fp32", ("tensorrt",)).session("encoder", {})
