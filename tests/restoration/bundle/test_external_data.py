"""An ONNX file may take its weights from files that the bundle names, and from nowhere else."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data

from bmenet.restoration.bundle import Bundle, open_bundle
from bmenet.restoration.onnx_runtime import Sessions
from bmenet.runtime.errors import WeightsError

GRAPH = "onnx/fp32/encoder.onnx"
BESIDE = "onnx/fp32/encoder.onnx.data"
BELOW = "onnx/fp32/sub/w"
OUTSIDE = "expected weights in a file of the bundle"


def _tensor(location: str) -> onnx.TensorProto:
    """Return four ones at a location."""
    values = onnx.numpy_helper.from_array(np.ones(4, dtype=np.float32), "w")
    set_external_data(values, location)
    values.ClearField("raw_data")
    return values


def _initializer(location: str) -> onnx.GraphProto:
    return _graph(onnx.helper.make_node("Add", ["x", "w"], ["y"]), initializer=[_tensor(location)])


def _constant(location: str) -> onnx.GraphProto:
    constant = onnx.helper.make_node("Constant", [], ["w"], value=_tensor(location))
    return _graph(constant, onnx.helper.make_node("Add", ["x", "w"], ["y"]))


def _subgraph(location: str) -> onnx.GraphProto:
    then, other = (_graph(onnx.helper.make_node("Add", ["x", "w"], ["y"]), initializer=[_tensor(location)]),) * 2
    return _graph(onnx.helper.make_node("If", ["x"], ["y"], then_branch=then, else_branch=other))


def _sparse(location: str) -> onnx.GraphProto:
    sparse = onnx.helper.make_sparse_tensor(_tensor(location), onnx.numpy_helper.from_array(np.arange(4), "i"), [4])
    return _graph(onnx.helper.make_node("Add", ["x", "w"], ["y"]), sparse_initializer=[sparse])


def _twice(location: str) -> onnx.GraphProto:
    tensor = _tensor("encoder.onnx.data")
    tensor.external_data.add(key="location", value=location)
    return _graph(onnx.helper.make_node("Add", ["x", "w"], ["y"]), initializer=[tensor])


def _graph(*nodes: onnx.NodeProto, **tensors: list) -> onnx.GraphProto:
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy")
    return onnx.helper.make_graph(nodes, "g", [x], [y], **tensors)


def _open(folder: Path, graph: onnx.GraphProto) -> Bundle:
    """Put a graph into a bundle that names all its files with the right checksums."""
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 20)])
    (folder / GRAPH).write_bytes(model.SerializeToString())
    (folder / BELOW).parent.mkdir(exist_ok=True)
    for name in (BESIDE, BELOW):
        (folder / name).write_bytes(np.ones(4, dtype=np.float32).tobytes())
    manifest = json.loads((folder / "bundle.json").read_text())
    for name in (GRAPH, BESIDE, BELOW):
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return open_bundle(folder)


@pytest.mark.parametrize("make", [_initializer, _constant, _subgraph, _sparse, _twice])
def test_weights_elsewhere_are_refused(folder, make):
    for location in (
        *("../../../../etc/passwd", "/etc/passwd", "../fp32/encoder.onnx.data", "sub/../../fp32/encoder.onnx.data"),
        *("sub", "..", ".", "", "a\\b", "sub/w\0", "unnamed"),
    ):
        (folder / "onnx" / "fp32" / "unnamed").unlink(missing_ok=True)
        bundle = _open(folder, make(location))
        (folder / "onnx" / "fp32" / "unnamed").write_bytes(np.ones(4, dtype=np.float32).tobytes())
        with pytest.raises(WeightsError, match=OUTSIDE):
            bundle.read_graph(GRAPH)
        with pytest.raises(WeightsError, match=OUTSIDE):
            Sessions(bundle).session("encoder", {})


@pytest.mark.parametrize(("location", "file"), [("encoder.onnx.data", BESIDE), ("sub/w", BELOW)])
def test_a_named_file_beside_the_graph_or_below_is_used_and_checked_when_the_graph_is_opened(folder, location, file):
    bundle = _open(folder, _initializer(location))
    (output,) = Sessions(bundle).session("encoder", {}).run(None, {"x": np.ones(4, dtype=np.float32)})
    np.testing.assert_array_equal(output, 2)
    (folder / file).write_bytes(np.zeros(4, dtype=np.float32).tobytes())
    with pytest.raises(WeightsError, match="expected SHA-256"):
        Sessions(bundle).session("encoder", {})


def test_another_file_than_a_graph_is_refused(folder):
    bundle = open_bundle(folder)
    with pytest.raises(WeightsError, match="expected an ONNX graph"):
        bundle.read_graph("weights/coarse/model.safetensors")


def test_weights_behind_a_link_are_refused_even_with_the_right_content(folder, tmp_path):
    bundle = _open(folder, _initializer("encoder.onnx.data"))
    (folder / BESIDE).rename(tmp_path / "elsewhere")
    (folder / BESIDE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match="link"):
        open_bundle(folder)
    with pytest.raises(WeightsError, match=r"link|file of the bundle"):  # it became one after the check
        Sessions(bundle).session("encoder", {})
