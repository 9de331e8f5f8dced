"""TensorRT's engines: fixed shapes, kept by GPU, version and bundle; without a GPU the truth."""

import pytest
import torch

from bmenet.release.export import tensorrt as module
from bmenet.release.export.tensorrt import build_engines, example_inputs, skipped
from bmenet.restoration import slices
from bmenet.restoration.bundle import open_bundle
from bmenet.restoration.onnx import engines
from bmenet.restoration.onnx import session as onnx_session
from bmenet.restoration.onnx.engines import engine_folder
from bmenet.restoration.onnx.providers import gpu_names
from bmenet.restoration.onnx.session import Sessions
from bmenet.runtime.errors import BMENetError
from tests.bundled import smoke_bundle


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(smoke_bundle())


@pytest.mark.skipif(bool(gpu_names()), reason="has a GPU")
def test_without_a_gpu_it_says_so(bundle):
    assert skipped() == "skipped: no GPU"
    with pytest.raises(BMENetError, match="expected a machine with TensorRT; skipped: no GPU"):
        build_engines(bundle, "fp32")


def test_without_its_libraries_it_says_that(monkeypatch):
    monkeypatch.setattr(module, "why_not", lambda _: "TensorRT's libraries were not found")
    assert skipped() == "skipped: TensorRT's libraries were not found"


def test_example_inputs_have_every_shape_that_a_volume_needs(bundle):
    graphs, shape = bundle.manifest.graphs["fp32"], bundle.manifest.grid_shape
    slabs = [
        tuple(feed["slab"].shape)
        for name, graph in graphs.items()
        if name.startswith("coarse")
        for feed in example_inputs(graph, shape)
    ]
    assert sorted(slab[2:] for slab in slabs) == [(40, 40), (40, 56), (56, 40)]
    assert {slab[0] for slab in slabs} == {8}
    (denoiser,) = example_inputs(graphs["denoiser"], shape)
    assert denoiser["timestep"].dtype == torch.int64
    assert denoiser["noisy_latent"].shape[0] == 1


def test_a_graph_of_free_slices_gets_one_input_a_plane(bundle):
    graph = bundle.manifest.graphs["fp32"]["coarse"]
    (slab,) = graph.inputs
    shapes = [tuple(feed["slab"].shape) for feed in example_inputs(graph, (160, 224, 160))]
    assert shapes == [(8, slab.shape[1], *plane) for plane in ((160, 160), (160, 224), (224, 160))]


def test_a_graph_of_one_plane_gets_that_plane(bundle):
    graph = bundle.manifest.graphs["fp32"]["coarse"]
    slab = graph.inputs[0].model_copy(update={"shape": ["batch", 10, 160, 224]})
    (feed,) = example_inputs(graph.model_copy(update={"inputs": [slab]}), (160, 224, 160))
    assert tuple(feed["slab"].shape) == (8, 10, 160, 224)


def test_engines_are_kept_by_gpu_version_and_bundle(monkeypatch, tmp_path):
    monkeypatch.setenv(engines.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(engines, "_tensorrt_version", lambda: "101300")
    folders = set()
    for gpu in ("NVIDIA H100 80GB HBM3", "NVIDIA A100"):
        monkeypatch.setattr(engines, "gpu_names", lambda gpu=gpu: (gpu,))
        for digest in ("a" * 64, "b" * 64):
            folders |= {engine_folder(digest, precision) for precision in ("fp32", "fp16")}
    assert len(folders) == 8
    assert all(tmp_path in folder.parents for folder in folders)
    assert any("NVIDIA-H100-80GB-HBM3_trt-101300_ort-" in str(folder) for folder in folders)


def test_engines_are_built_for_every_graph_with_the_cache_in_its_folder(bundle, monkeypatch, tmp_path):
    ran, asked = [], []
    monkeypatch.setenv(engines.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(module, "why_not", lambda _: None)
    monkeypatch.setattr(onnx_session, "choose_providers", list)

    def run(sessions, name, feed):
        ran.append(name)
        asked.append(sessions)
        return []

    monkeypatch.setattr(Sessions, "run", run)
    seconds = build_engines(bundle, "fp16")
    assert set(ran) == set(bundle.manifest.graphs["fp32"])
    assert len(seconds) == len(ran)
    (name, options), *others = asked[0]._provider_options(is_half=True)
    assert name == "TensorrtExecutionProvider"
    assert options["trt_engine_cache_enable"] == options["trt_fp16_enable"] == "1"
    assert options["trt_layer_norm_fp32_fallback"] == "1"
    assert options["trt_engine_cache_path"].startswith(str(tmp_path))
    assert asked[0]._provider_options(is_half=False)[0][1]["trt_fp16_enable"] == "0"
    assert [name for name, _ in others] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_a_cache_that_cannot_be_written_is_named(bundle, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(engines.CACHE_VARIABLE, str(tmp_path / "file"))
    monkeypatch.setattr(module, "why_not", lambda _: None)
    monkeypatch.setattr(onnx_session, "choose_providers", list)
    with pytest.raises(BMENetError, match=r"expected a folder for engines that can be written.*BMENET_CACHE"):
        build_engines(bundle, "fp32")


def test_engines_have_the_batch_that_volumes_are_restored_in():
    assert module._SLICES == slices._BATCH
