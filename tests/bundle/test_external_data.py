"""An ONNX file may keep its weights in a file beside it, and nowhere else."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bmenet.bundle import open_bundle
from bmenet.bundle.external_data import check_external_data
from bmenet.errors import WeightsError
from tests.bundled import smoke_bundle

GRAPH = "onnx/fp32/encoder.onnx"
SIDE = "onnx/fp32/encoder.onnx.data"


def _outside(bundle: Path, location: str, in_node: bool = False) -> None:
    """Let a graph of the bundle take a tensor from `location`, and name everything with the right checksums."""
    values = onnx.numpy_helper.from_array(np.ones(4, dtype=np.float32), "w")
    values.ClearField("raw_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.add(key="location", value=location)
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy")
    nodes = [onnx.helper.make_node("Add", ["x", "w"], ["y"])]
    if in_node:
        nodes.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=values))
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], [] if in_node else [values])
    (bundle / GRAPH).write_bytes(onnx.helper.make_model(graph).SerializeToString())
    (bundle / SIDE).write_bytes(np.ones(4, dtype=np.float32).tobytes())
    manifest = json.loads((bundle / "bundle.json").read_text())
    for name in (GRAPH, SIDE):
        content = (bundle / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(manifest))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_bundle(), tmp_path / "bundle"))


def test_a_named_file_beside_the_graph_is_fine(bundle):
    _outside(bundle, "encoder.onnx.data")
    check_external_data(bundle / GRAPH, open_bundle(bundle))


@pytest.mark.parametrize("in_node", [False, True])
@pytest.mark.parametrize(
    "location",
    ["../../../../etc/passwd", "/etc/passwd", "../fp32/encoder.onnx.data", "sub/w", "..", "", "a\\b", "unnamed.data"],
)
def test_weights_elsewhere_are_refused(bundle, location, in_node):
    _outside(bundle, location, in_node)
    with pytest.raises(WeightsError, match="expected weights in files beside it that the bundle names"):
        check_external_data(bundle / GRAPH, open_bundle(bundle))


def test_what_is_no_graph_is_refused(bundle):
    _outside(bundle, "encoder.onnx.data")
    opened = open_bundle(bundle)
    (bundle / GRAPH).write_bytes(b"\x80\x04\x95 not protobuf")
    with pytest.raises(WeightsError, match="expected an ONNX graph"):
        check_external_data(bundle / GRAPH, opened)


def test_graphs_that_are_exported_pass(bundle):
    opened = open_bundle(bundle)
    for graph in opened.manifest.graphs["fp32"].values():
        check_external_data(bundle / graph.path, opened)
