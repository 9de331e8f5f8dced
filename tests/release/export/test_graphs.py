"""The Coarse-net as one graph, or as one a plane where its layers depend on the shape of the slice."""

from pathlib import Path

import pytest
import torch

from bmenet.config import CoarseConfig
from bmenet.imaging.grid import standard_grid
from bmenet.networks.coarse import build_coarse
from bmenet.release.export.graphs import coarse_graphs
from bmenet.release.export.onnx_file import describe_graph, write_graph
from bmenet.release.export.rewrite import half_precision
from bmenet.restoration.bundle import Bundle, Graph, Manifest
from bmenet.restoration.bundle.manifest import File
from bmenet.restoration.onnx_runtime import OnnxCoarse, Sessions
from bmenet.runtime.errors import WeightsError
from bmenet.runtime.files import sha256
from tests.fine_networks import smoke_config

GRID = standard_grid(4)


@pytest.fixture(scope="module")
def swinir():
    config = smoke_config().coarse.model_copy(update={"arch": "swinir"})
    torch.manual_seed(0)
    network = build_coarse(config).eval().requires_grad_(False)
    for parameter in network.tail.parameters():
        parameter.normal_(std=0.1)
    return network, config


def test_a_transformer_gets_a_graph_a_plane(swinir):
    network, config = swinir
    plans = coarse_graphs(network, config, GRID)
    shapes = {name: tuple(plan.inputs["slab"].shape[2:]) for name, plan in plans.items()}
    assert shapes == {"coarse_sagittal": (56, 40), "coarse_coronal": (40, 40), "coarse_axial": (40, 56)}


def test_a_u_net_whose_slices_must_be_padded_gets_a_graph_a_plane():
    config = smoke_config().coarse
    config = config.model_copy(update={"unet": config.unet.model_copy(update={"levels": 4})})
    assert set(coarse_graphs(build_coarse(config), config, GRID)) == {f"coarse_{plane}" for plane in config.planes}


@pytest.mark.parametrize("is_half", [False, True])
def test_a_transformer_s_graph_is_the_transformer(swinir, tmp_path, is_half):
    network, config = swinir
    config = config.model_copy(update={"planes": ["axial"]})
    plan = coarse_graphs(network, config, GRID)["coarse_axial"]
    expected_module = plan.module
    if is_half:
        plan = type(plan)(half_precision(plan.module), plan.inputs, plan.outputs, plan.dynamic)
    write_graph(plan, tmp_path / "coarse_axial.onnx", 20)
    graph = describe_graph(tmp_path / "coarse_axial.onnx", tmp_path)
    assert graph.inputs[0].shape == ["batch", *plan.inputs["slab"].shape[1:]]
    coarse = OnnxCoarse(Sessions(_bundle(tmp_path, config, {"coarse_axial": graph})))
    slab = torch.rand(3, *plan.inputs["slab"].shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = expected_module(slab)
    assert float((expected - slab[:, config.context_slices // 2, None]).abs().max()) > 0.01
    tolerance = 1e-2 if is_half else 1e-5
    torch.testing.assert_close(coarse(slab), expected, atol=tolerance, rtol=tolerance)
    with pytest.raises(WeightsError, match=r"expected a graph for slices of \[8, 8\]"):
        coarse(torch.zeros(1, slab.shape[1], 8, 8))


def _bundle(folder: Path, config: CoarseConfig, graphs: dict[str, Graph]) -> Bundle:
    """Return a bundle of these graphs alone."""
    files = {
        graph.path: File(bytes=(folder / graph.path).stat().st_size, sha256=sha256(folder / graph.path))
        for graph in graphs.values()
    }
    manifest = Manifest(
        format_version=1,
        bmenet="0",
        spacing_mm=4,
        grid_shape=GRID.shape,
        opset=20,
        coarse=config,
        fine=None,
        graphs={"fp32": graphs},
        files=files,
        lineage={},
    )
    return Bundle(folder, manifest, "0" * 64)
